import { expect, test } from 'vitest';
import { startServices } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { json, recordingServer } from '../unit/session/recording-server.ts';

/** As many requests as would use up every place for a terminal of the account. */
const TERMINALS = 20;
const CROSS_SITE = [
  { 'sec-fetch-site': 'cross-site' },
  { origin: 'https://evil.example' },
  { origin: 'null' },
  { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
  { 'sec-fetch-site': 'same-site', origin: 'https://sibling.example.com' },
];

/**
 * A replica in mode `forward`, whose session server accepts every cookie.
 * @returns a function that sends a request of alice
 */
async function startAll(env = {}) {
  const cloud = await recordingServer(json({ sub: 'alice', region: 'DE' }));
  const forward = { SESSION_MODE: 'forward', SESSION_FORWARD_URL: `${cloud.origin}/whoami` };
  const fleet = await startServices({ replicas: 1, env: { ...forward, ...env } });
  const { url } = fleet.broker(0);
  const cookie = 'PHPSESSID=of-alice';
  const send = (method: string, uniqueId: string, headers = {}) =>
    plainRequest(`${url}/sdk-token?uniqueId=${uniqueId}`, { method, headers: { cookie, ...headers } });
  return { cloud, fleet, url, send };
}

test('a page of another web site cannot use the session cookie of a user: no login, no logout', async () => {
  const { cloud, fleet, url, send } = await startAll({ TERMINALS_PER_ACCOUNT: `${TERMINALS}` });

  const attacks = Array.from({ length: TERMINALS }, (_, number) =>
    send('GET', `made-up-${number}`, CROSS_SITE[number % CROSS_SITE.length]),
  );
  const attacked = await Promise.all(attacks);
  expect(attacked.map(({ status, body }) => [status, JSON.parse(body).code])).toEqual(
    Array(TERMINALS).fill([403, 'session_forbidden']),
  );
  expect(fleet.vendor.state().requests).toBe(0);
  expect(cloud.received).toEqual([]);

  // The user's own phone still gets a token, and keeps it, also where a replica has it in memory.
  const served = await send('GET', 'phone');
  expect(served.status).toBe(200);
  expect((await send('GET', 'phone', { origin: url, 'sec-fetch-site': 'same-origin' })).body).toBe(served.body);
  for (const headers of CROSS_SITE) {
    expect((await send('GET', 'phone', headers)).status).toBe(403);
    expect((await send('DELETE', 'phone', headers)).status).toBe(403);
  }
  expect((await send('GET', 'phone')).body).toBe(served.body);
  expect(fleet.vendor.state().requests).toBe(1);
});

test('a page whose name resolves to the broker (DNS rebinding) can read nothing of the internal API', async () => {
  const env = { ADMIN_TOKEN: 'canary-admin-token', ADMIN_HOST_NAMES: 'Broker.example.com' };
  const fleet = await startServices({ replicas: 1, env });
  const { url, adminUrl } = fleet.broker(0);
  const ask = async (at: string, host: string) => {
    const { status, body } = await plainRequest(at, { headers: { host } });
    return status === 400 ? JSON.parse(body).detail : status;
  };
  const refused = expect.stringMatching(/^The header Host must be an IP address, .* or one in ADMIN_HOST_NAMES$/);
  const foreign = ['evil.example', 'evil.example:9090', 'broker.svc.evil.example', '127.0.0.1.evil.example', 'a@b'];
  const own = ['127.0.0.1', '10.0.0.7:9090', '[fd00::7]:9090', 'localhost:9090', 'broker', 'broker.apps.svc:9090'];
  own.push('broker.apps.svc.cluster.local.', 'ip-10-0-0-7.ec2.internal:9090', 'BROKER.example.com:9090');
  for (const path of ['/metrics', '/readyz', '/livez', '/console', '/console/runbooks/en']) {
    for (const host of foreign) expect(await ask(adminUrl + path, host), `${host} ${path}`).toEqual(refused);
    for (const host of own) expect(await ask(adminUrl + path, host), `${host} ${path}`).toBe(200);
  }
  // Load balancers ask the public API under any name.
  for (const path of ['/readyz', '/livez']) expect(await ask(url + path, 'broker.example.org')).toBe(200);
});
