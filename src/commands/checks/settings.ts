import type { ConfigParts } from '../../config/config.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const SHORTEST_ADMIN_TOKEN = 16;
const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;
const EVERYWHERE = new Set(['0.0.0.0', '::']);

/** Every problem of the configuration, and what is allowed but unwise. */
export function checkSettings(parts: ConfigParts, nodeEnv: string | undefined): Finding[] {
  const problems = parts.problems.map((detail) =>
    fail('configuration', { detail, mend: 'correct it in the environment; .env.example explains every setting' }),
  );
  const configuration = problems.length > 0 ? problems : [ok('configuration', 'every setting is usable')];
  return [...configuration, ...checkEnvironment(parts, nodeEnv), ...checkAdmin(parts)];
}

function checkEnvironment({ vendor }: ConfigParts, nodeEnv: string | undefined): Finding[] {
  const domains = vendor ? [vendor.baseUrl, ...vendor.regionUrls.values()] : [];
  const remote = domains.filter(({ hostname }) => !LOOPBACK.test(hostname));
  const open = [...new Set(remote.filter(({ protocol }) => protocol === 'http:').map(({ host }) => host))];
  const findings: Finding[] = [];
  if (remote.length > 0 && nodeEnv !== 'production') {
    const detail = 'NODE_ENV is not production, yet the vendor is a real one';
    findings.push(warn('environment', { detail, mend: 'set NODE_ENV=production: it insists on encrypted tokens' }));
  }
  if (open.length > 0) {
    const detail = `the appToken is sent unencrypted to ${open.join(', ')}`;
    const mend = 'use https:// in VENDOR_BASE_URL and VENDOR_REGION_URLS';
    findings.push(warn('environment', { detail, mend }));
  }
  return findings;
}

function checkAdmin({ admin }: ConfigParts): Finding[] {
  if (!admin) return [];
  const { host, token } = admin;
  if (token === undefined) return [ok('admin token', 'not set: the internal API serves only health and metrics')];
  const findings: Finding[] = [];
  if (token.length < SHORTEST_ADMIN_TOKEN) {
    const detail = `ADMIN_TOKEN is shorter than ${SHORTEST_ADMIN_TOKEN} characters`;
    findings.push(warn('admin token', { detail, mend: 'take one that cannot be guessed: openssl rand -base64 32' }));
  }
  if (EVERYWHERE.has(host)) {
    const detail = `ADMIN_HOST=${host} offers the internal API, which hands out tokens, on every network`;
    const mend = 'set ADMIN_HOST to an internal address, or see to it that only your own services reach ADMIN_PORT';
    findings.push(warn('admin token', { detail, mend }));
  }
  return findings.length > 0 ? findings : [ok('admin token', 'set')];
}
