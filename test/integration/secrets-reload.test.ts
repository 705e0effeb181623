import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import { expect, inject, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { newFolder } from '../support/new-folder.ts';
import { plainRequest } from '../support/plain-request.ts';
import { sampled } from '../support/prometheus-text.ts';
import { kubernetesVolume, type Secrets, startWithSecretFiles } from '../support/secret-files.ts';
import { VENDOR_APP } from '../support/vendor-app.ts';

const hex = () => randomBytes(20).toString('hex');
const encryptionKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const APP = { ...VENDOR_APP, appKey: 'canary-key' };

/** Starts a replica that reads its secrets from files. */
async function startReplica() {
  let secrets: Secrets = {
    ADMIN_TOKENS: `ops:canary-${hex()}`,
    VENDOR_APPS: JSON.stringify({ default: APP }),
    SESSION_JWT_SECRET: `canary-${hex()}`,
    TOKEN_ENCRYPTION_KEYS: encryptionKey('k0'),
    REDIS_URL: inject('redisUrl'),
  };
  const inline = ['VENDOR_ACCESS_ID', 'VENDOR_APP_ID', 'VENDOR_APP_TOKEN', 'VENDOR_APP_KEY', 'SESSION_JWT_JWKS_URL'];
  const fleet = await startWithSecretFiles(secrets, {
    replicas: 1,
    vendor: { apps: [APP] },
    env: { SESSION_CACHE_SECONDS: '600', ...Object.fromEntries(inline.map((name) => [name, ''])) },
  });
  const reload = (changes: Secrets) => {
    secrets = { ...secrets, ...changes };
    return fleet.reload(changes);
  };
  const session = (unionId: string) => {
    const { issuer, audience } = fleet.cloud;
    const exp = Math.floor(Date.now() / 1_000) + 600;
    return new SignJWT({ iss: issuer, aud: audience, sub: unionId, region: 'DE', exp })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(secrets['SESSION_JWT_SECRET'] ?? ''));
  };
  const adminToken = () => secrets['ADMIN_TOKENS']?.split(':').at(-1) ?? '';
  const broker = fleet.broker(0);
  const ops = (unionId: string, token = adminToken()) =>
    plainRequest(`${broker.adminUrl}/accounts/${unionId}`, { headers: { authorization: `Bearer ${token}` } });
  return { broker, secrets: () => secrets, reload, session, adminToken, ops };
}

test('a replica takes new secrets of a Kubernetes volume without a signal, and keeps the old ones if they are not valid', async () => {
  const folder = newFolder();
  const volume = kubernetesVolume(folder, { ADMIN_TOKENS: 'ops:canary-0123456789' });
  const fleet = await startFleet({ replicas: 1, env: { ADMIN_TOKENS_FILE: volume.path('ADMIN_TOKENS') } });
  const { adminUrl, log } = fleet.broker(0);
  const logs = (text: string) =>
    eventually(() => log().some((line) => line.includes(text)), { timeoutMs: 60_000, everyMs: 100 });
  const accepts = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` };
    return (await plainRequest(`${adminUrl}/accounts/nobody`, { headers })).status === 404;
  };
  expect(await accepts('canary-0123456789')).toBe(true);
  volume.replace({ ADMIN_TOKENS: 'ops:canary-9876543210' });
  await logs('a file has changed: the secrets were read again');
  expect(await accepts('canary-9876543210')).toBe(true);
  expect(await accepts('canary-0123456789')).toBe(false);
  volume.replace({ ADMIN_TOKENS: 'ops:short' });
  await logs('a file has changed: the old secrets stay');
  expect(await accepts('canary-9876543210')).toBe(true);
  const { body: metrics } = await plainRequest(`${adminUrl}/metrics`);
  expect(sampled(metrics, 'sdk_token_broker_secrets_refused')).toBe(1);
  expect(log().filter((line) => line.includes('canary-'))).toEqual([]);
}, 150_000);

test('an invalid configuration changes no secret at all, and the log says why', async () => {
  const { broker, secrets, reload, session, adminToken, ops } = await startReplica();
  const valid = secrets();
  const token = adminToken();
  const known = await session('alice');
  const REFUSED: readonly [Secrets, RegExp][] = [
    [{ TOKEN_ENCRYPTION_KEYS: 'canary-broken' }, /^TOKEN_ENCRYPTION_KEYS must be /],
    [{ SESSION_JWT_SECRET: '' }, /^SESSION_JWT_SECRET_FILE must name a regular file with UTF-8 text that is not empty/],
    [{ VENDOR_APPS: JSON.stringify({ other: APP }) }, /^VENDOR_APPS: only a restart can add/],
    [{ REDIS_URL: 'redis://canary.example' }, /^REDIS_URL: only the user and the password can change/],
  ];
  for (const [broken, problem] of REFUSED) {
    const [line] = await reload({ ...valid, ADMIN_TOKENS: `ops:canary-${hex()}`, ...broken });
    expect(line).toMatchObject({ level: 'error', problems: [expect.stringMatching(problem)] });
    expect((await ops('alice')).status).toBe(401);
    expect((await ops('alice', token)).status).not.toBe(401);
    expect((await broker.getToken(known, 'phone')).status).toBe(200);
  }
  expect(await reload(valid)).toMatchObject([{ level: 'info', changed: [] }]);
  await reload({ ADMIN_TOKENS: `ops:canary-${hex()}` });
  const { body: metrics } = await plainRequest(`${broker.adminUrl}/metrics`);
  expect(sampled(metrics, 'sdk_token_broker_secrets_refused', {})).toBe(0);
  expect(broker.log().join('\n')).not.toContain('canary');
});
