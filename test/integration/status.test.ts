import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startFleet, startServices } from '../support/fleet.ts';
import { ADMIN_TOKEN, statusOf } from '../support/internal-api.ts';
import { plainRequest } from '../support/plain-request.ts';
import { parsePrometheus } from '../support/prometheus-text.ts';
import { startRedis } from '../support/redis-server.ts';

function start(env: Readonly<Record<string, string>>, replicas = 1) {
  return startServices({ replicas, env: { ADMIN_TOKEN, VENDOR_MAX_RPS: '50', ...env } });
}

test('the status of each replica counts the tokens of all, and names no one', async () => {
  const redis = await startRedis();
  const fleet = await start({ REDIS_URL: redis.url }, 2);
  for (let account = 0; account < 10; account += 1) {
    const session = await fleet.session(`canary-account-${account}`);
    expect((await fleet.broker(account).getToken(session, 'canary-phone')).status).toBe(200);
  }
  expect((await fleet.broker(0).getToken('no-session', 'canary-phone')).status).toBe(401);
  await eventually(async () => {
    for (const broker of fleet.brokers) {
      const report = await statusOf(broker);
      expect(report).toMatchObject({
        vendorDomains: [
          {
            host: new URL(fleet.vendor.url).host,
            circuit: 'closed',
            lastSuccessAt: expect.any(String),
            lastFailure: null,
          },
        ],
        store: { kind: 'redis', reachable: true, lastSuccessAt: expect.any(String), lastFailure: null },
        sessions: { mode: 'jwt', server: { lastSuccessAt: expect.any(String), lastFailure: null } },
        schedule: { due: { now: 0 }, total: 10, oldestOverdueSeconds: 0 },
        loginBudget: { perSecond: 50, waiting: 0 },
        memory: { tokens: 5 },
      });
      expect(report.schedule?.due.in30d).toBe(10);
      expect(JSON.stringify(report)).not.toContain('canary');
    }
  });
  expect((await statusOf(fleet.broker(0))).recentFailures.requests.last5Minutes).toEqual({ session_invalid: 1 });
  expect((await statusOf(fleet.broker(1))).recentFailures.requests.last60Minutes).toEqual({});
});

test('with the store in the process the status has everything but Redis', async () => {
  const fleet = await start({ REDIS_URL: '' });
  const session = await fleet.session('alice');
  expect((await fleet.broker(0).getToken(session, 'phone')).status).toBe(200);
  expect(await statusOf(fleet.broker(0))).toMatchObject({
    store: { kind: 'memory', reachable: true, encryptionKeys: [], lastSuccessAt: null },
    schedule: { total: 1 },
  });
});

test('a start and sessions without faults cause no warning, and count no Redis error', async () => {
  const redis = await startRedis();
  const fleet = await startFleet({ replicas: 1, env: { REDIS_URL: redis.url } });
  const { adminUrl, log, getToken } = fleet.broker(0);
  for (const unionId of ['alice', 'alice', 'bob']) {
    expect((await getToken(await fleet.session(unionId), 'phone')).status).toBe(200);
  }
  // The worker has claimed by then.
  await eventually(async () => {
    const metrics = parsePrometheus((await plainRequest(`${adminUrl}/metrics`)).body);
    const errors = metrics.get('sdk_token_broker_redis_errors_total')?.samples ?? [];
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.filter(({ value }) => value > 0)).toEqual([]);
    expect(log().some((line) => line.includes('"msg":"ready"'))).toBe(true);
  });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const metrics = parsePrometheus((await plainRequest(`${adminUrl}/metrics`)).body);
  const errors = metrics.get('sdk_token_broker_redis_errors_total')?.samples ?? [];
  expect(errors.filter(({ value }) => value > 0)).toEqual([]);
  expect(log().filter((line) => !line.includes('"level":"info"'))).toEqual([]);
});
