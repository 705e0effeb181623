import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { DEMO_APP } from '../../src/simulator/vendor-simulator.ts';
import { accountId, digest, subjectId } from '../../src/token/subject.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { parsePrometheus, sampled } from '../support/prometheus-text.ts';
import { startRedis } from '../support/redis-server.ts';

const secrets = new Set<string>();

function canary(name: string): string {
  const secret = `canary-${name}-${randomBytes(10).toString('hex')}`;
  secrets.add(secret);
  return secret;
}

/** Starts a broker with its own Redis. `secrets` then holds everything that the metrics must not show. */
async function start() {
  const redis = await startRedis();
  const [appToken, appKey, adminToken, hmac] = [canary('token'), canary('key'), canary('admin'), canary('hmac')];
  const fleet = await startFleet({
    replicas: 1,
    vendor: { apps: [{ ...DEMO_APP, appToken, appKey }], tokenLifetimeSeconds: 8 },
    env: {
      REDIS_URL: redis.url,
      VENDOR_APP_TOKEN: appToken,
      VENDOR_APP_KEY: appKey,
      VENDOR_MAX_RPS: '50',
      RATE_LIMIT_PER_MINUTE: '1000',
      LOGIN_LIMIT_PER_HOUR: '1000',
      ADMIN_TOKEN: adminToken,
    },
  });
  for (const key of fleet.env['TOKEN_ENCRYPTION_KEYS']?.split(':') ?? []) if (key.length > 8) secrets.add(key);
  const broker = fleet.broker(0);

  const newPerson = async () => {
    const [unionId, uniqueId] = [canary('unionId'), canary('uniqueId')];
    const subject = { app: 'default', unionId, uniqueId };
    const session = await fleet.session(unionId);
    for (const part of session.split('.').slice(1)) secrets.add(part);
    for (const id of [subjectId(subject), accountId(unionId), digest(JSON.stringify(['default', uniqueId]))])
      secrets.add(id);
    const read = async (refused?: string) => {
      const answer = await broker.getToken(session, uniqueId, { refused });
      if (answer.status === 200) secrets.add(JSON.parse(answer.body).accessToken);
      return answer;
    };
    return { read, logins: () => fleet.vendor.loginsOf(unionId, uniqueId) };
  };
  const scrape = () => plainRequest(`${broker.adminUrl}/metrics`);
  const value = async (name: string, labels?: Record<string, string>) =>
    sampled((await scrape()).body, `sdk_token_broker_${name}`, labels);
  return { redis, vendor: fleet.vendor, broker, hmac, newPerson, scrape, value };
}

test('/metrics counts the work of a real broker, and shows no secret', async () => {
  const { redis, vendor, broker, hmac, newPerson, scrape, value } = await start();

  // One login, three reads from memory, and ten concurrent reads that share another login.
  const alice = await newPerson();
  for (let time = 0; time < 4; time += 1) expect((await alice.read()).status).toBe(200);
  expect(await value('reads_total', { outcome: 'login' })).toBe(1);
  expect(await value('reads_total', { outcome: 'memory' })).toBe(3);
  expect(await value('session_checks_total', { outcome: 'accepted' })).toBe(1);
  expect(await value('session_checks_total', { outcome: 'cached' })).toBe(3);
  const bob = await newPerson();
  vendor.configure({ latencyMs: 400 });
  await Promise.all(Array.from({ length: 10 }, () => bob.read()));
  vendor.configure({ latencyMs: 0 });
  expect(await value('reads_total', { outcome: 'login' })).toBe(2);
  expect(await value('reads_total', { outcome: 'waited' })).toBe(9);
  expect(await value('renewals_total', { cause: 'new', outcome: 'login' })).toBe(2);
  expect(await value('logins_total', { outcome: 'success', vendor_code: '0' })).toBe(2);
  expect(await value('login_attempts_total')).toBe(2);
  expect(await value('login_budget_wait_seconds_count', { urgency: 'foreground' })).toBe(2);
  expect(await value('served_token_expiry_seconds_count')).toBe(14);
  expect(await value('cached_tokens')).toBe(2);

  // A refused token, and refused sessions.
  const { etag } = (await alice.read()).headers;
  await alice.read(etag);
  expect(await value('renewals_total', { cause: 'refused', outcome: 'login' })).toBe(1);
  for (let time = 0; time < 3; time += 1) {
    expect((await broker.getToken(`${hmac}.${hmac}.${hmac}`, 'phone')).status).toBe(401);
  }
  expect(await value('session_checks_total', { outcome: 'malformed' })).toBe(3);
  const payload = Buffer.from('{"sub":"alice"}').toString('base64url');
  const ofStranger = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${payload}.${hmac}`;
  expect((await broker.getToken(ofStranger, 'phone')).status).toBe(401);
  expect(await value('session_checks_total', { outcome: 'session_invalid' })).toBe(1);

  // A vendor that refuses the login, and a vendor that is down.
  vendor.configure({ fault: 'frozen-app' });
  expect((await (await newPerson()).read()).status).toBe(502);
  expect(await value('logins_total', { outcome: 'configuration', vendor_code: '10901051' })).toBe(1);
  expect(await value('reads_total', { outcome: 'vendor_rejected' })).toBe(1);
  vendor.configure({ fault: 'html' });
  expect((await (await newPerson()).read()).status).toBe(503);
  expect(await value('reads_total', { outcome: 'vendor_unavailable' })).toBe(1);
  expect(await value('logins_total', { vendor_code: 'none' })).toBe(1);
  vendor.configure({ fault: 'none' });
  const { host } = new URL(vendor.url);
  expect(await value('vendor_circuit_state', { host })).toBe(0);
  expect(Math.abs(await value('vendor_clock_offset_seconds', { host }))).toBeLessThan(30);

  // A background renewal, and a read of its token. Reads before it would renew the token themselves. On a busy machine,
  // the token may expire first: the next one is renewed.
  await eventually(
    async () => {
      expect((await alice.read()).status).toBe(200);
      const before = alice.logins();
      await eventually(() => alice.logins() > before, { timeoutMs: 12_000 });
      expect((await alice.read()).status).toBe(200);
    },
    { timeoutMs: 60_000 },
  );
  expect(await value('renewals_total', { cause: 'background', outcome: 'login' })).toBeGreaterThan(0);
  expect(await value('due_lateness_seconds_count')).toBeGreaterThan(0);

  // Redis is down.
  await redis.kill();
  await eventually(async () => {
    await (await newPerson()).read();
    expect(await value('redis_errors_total', { kind: 'connection' })).toBeGreaterThan(0);
  });

  const { status, headers, body } = await scrape();
  expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(parsePrometheus(body).get('process_cpu_seconds_total')?.type).toBe('counter');
  expect(await value('build_info', { node_version: process.version })).toBe(1);
  expect([...secrets].length).toBeGreaterThan(20);
  expect([...secrets].filter((secret) => body.includes(secret))).toEqual([]);
  expect(body).not.toMatch(/canary/);
  expect((await plainRequest(`${broker.url}/metrics`)).status).toBe(404);
});
