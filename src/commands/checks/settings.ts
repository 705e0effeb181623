import { type ConfigParts, isProduction } from '../../config/config.ts';
import { type CheckResult, fail, ok, warn } from './check-result.ts';

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;
const ALL_INTERFACES = new Set(['0.0.0.0', '::']);

/** Reports every problem of the configuration, and settings that are allowed but risky. */
export function checkSettings(parts: ConfigParts, nodeEnv: string | undefined): CheckResult[] {
  const problems = parts.problems.map((detail) =>
    fail('configuration', {
      detail,
      fix: 'Correct this setting in the environment. .env.example explains every setting.',
    }),
  );
  const configuration = problems.length > 0 ? problems : [ok('configuration', 'every setting is valid')];
  return [...configuration, ...checkEnvironment(parts, nodeEnv), ...checkAdmin(parts)];
}

function checkEnvironment({ vendor }: ConfigParts, nodeEnv: string | undefined): CheckResult[] {
  const domains = vendor ? [vendor.baseUrl, ...vendor.regionUrls.values()] : [];
  const remote = domains.filter(({ hostname }) => !LOOPBACK.test(hostname));
  const unencrypted = [...new Set(remote.filter(({ protocol }) => protocol === 'http:').map(({ host }) => host))];
  const results: CheckResult[] = [];
  if (remote.length > 0 && !isProduction({ NODE_ENV: nodeEnv || 'development' })) {
    const detail = 'NODE_ENV is not production, but the vendor is on another machine';
    const fix = 'Set NODE_ENV=production. The broker then insists on TOKEN_ENCRYPTION_KEYS if it uses Redis.';
    results.push(warn('environment', { detail, fix }));
  }
  if (unencrypted.length > 0) {
    const detail = `the broker sends the appToken unencrypted to ${unencrypted.join(', ')}`;
    const fix = 'Use https:// in VENDOR_BASE_URL and VENDOR_REGION_URLS.';
    results.push(warn('environment', { detail, fix }));
  }
  return results;
}

function checkAdmin({ admin }: ConfigParts): CheckResult[] {
  if (!admin) return [];
  const { host, tokens } = admin;
  if (tokens.length === 0) return [ok('admin token', 'not set: the internal API serves only health and metrics')];
  if (ALL_INTERFACES.has(host)) {
    const detail = `ADMIN_HOST=${host} opens the internal API, which returns tokens, to every network`;
    const fix = 'Set ADMIN_HOST to an internal address, or let only your own services reach ADMIN_PORT.';
    return [warn('admin token', { detail, fix })];
  }
  return [ok('admin token', `callers: ${tokens.map(({ name }) => name).join(', ')}`)];
}
