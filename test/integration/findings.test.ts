import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import type { StatusReport } from '../../src/http/routes/status.ts';
import { startBroker } from '../support/broker-process.ts';
import type { Replica } from '../support/broker-service.ts';
import { eventually } from '../support/eventually.ts';
import { openRedisStore, saveToken } from '../support/filled-store.ts';
import { type Fleet, startFleet, startServices } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { ADMIN_TOKEN, statusOf } from '../support/internal-api.ts';
import { plainRequest } from '../support/plain-request.ts';
import { askRedis, startRedis } from '../support/redis-server.ts';

const SOON = { timeoutMs: 30_000, everyMs: 1_000 };

async function startOnRedis(replicas: number, env: Readonly<Record<string, string>> = {}) {
  const redis = await startRedis();
  const fleet = await startServices({ replicas, env: { ADMIN_TOKEN, REDIS_URL: redis.url, ...env } });
  const onRedis = <T>(commands: (client: Redis) => Promise<T>) => askRedis(redis, commands);
  return { fleet, broker: fleet.broker(0), onRedis };
}

const codesOf = ({ findings }: StatusReport) => findings.map(({ code }) => code);

/** Lines of the log at `warn` and above, without their times. */
function warnings(broker: Replica): readonly { readonly msg: string; readonly finding?: string }[] {
  return broker
    .log()
    .filter((line) => /"level":"(warn|error)"/.test(line))
    .map((line) => JSON.parse(line));
}

/** Scripts that Redis has been asked to run. */
async function scriptsRun(client: Redis): Promise<number> {
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(await client.info('commandstats'))?.[1]);
}

/** Stores a token that no app has read for each of the first accounts, like a background renewal. */
async function storeUnread(
  { env: { TOKEN_ENCRYPTION_KEYS = '', REDIS_URL = '' }, keyPrefix }: Fleet<Replica>,
  accounts: number,
): Promise<void> {
  const [id = '', key = ''] = TOKEN_ENCRYPTION_KEYS.split(':');
  const store = await openRedisStore(REDIS_URL, keyPrefix, [{ id, key: Buffer.from(key, 'base64') }]);
  for (let account = 0; account < accounts; account += 1) {
    await saveToken(store, { app: 'default', unionId: `account-${account}`, uniqueId: 'phone' });
  }
  await store.close();
}

/** Asks for the tokens of accounts, one after the other. */
async function getTokens(fleet: Fleet<Replica>, from: number, phones: number): Promise<void> {
  for (let phone = from; phone < from + phones; phone += 1) {
    const session = await fleet.session(`account-${phone}`);
    expect((await fleet.broker(0).getToken(session, 'phone')).status).toBe(200);
  }
}

describe('a Redis that refuses writes', () => {
  test.each([
    {
      state: 'full',
      reason: 'oom',
      begin: ['CONFIG', 'SET', 'maxmemory', '1'],
      end: ['CONFIG', 'SET', 'maxmemory', '0'],
    },
    {
      state: 'one whose user has lost a right',
      reason: 'noperm',
      begin: ['ACL', 'SETUSER', 'default', '-eval', '-evalsha'],
      end: ['ACL', 'SETUSER', 'default', '+@all'],
    },
  ])(
    'is noticed on an idle replica if it is $state, and its finding is logged once',
    { timeout: 90_000 },
    async (row) => {
      const { broker, onRedis } = await startOnRedis(1);
      const change = ([command = '', ...args]: readonly string[]) => onRedis((client) => client.call(command, ...args));
      await eventually(async () => expect(codesOf(await statusOf(broker))).toEqual([]));
      await change(row.begin);
      const message = { oom: 'full', noperm: 'lacks a right' }[row.reason];
      await eventually(async () => {
        expect(await statusOf(broker)).toMatchObject({
          store: { reachable: true, lastFailure: { reason: row.reason } },
          findings: [
            {
              code: 'redis_refuses_writes',
              level: 'critical',
              reason: row.reason,
              message: expect.stringContaining(message ?? ''),
            },
          ],
        });
      }, SOON);
      const metrics = (await plainRequest(`${broker.adminUrl}/metrics`)).body;
      expect(metrics).toMatch(new RegExp(`redis_errors_total\\{kind="${row.reason}"\\} [1-9]`));
      await change(row.end);
      await eventually(async () => expect(codesOf(await statusOf(broker))).toEqual([]), SOON);
      // Without the right, the due queue cannot be read either, which may have a line of its own.
      const lines = () => warnings(broker).filter(({ finding }) => finding || row.reason !== 'noperm');
      const found = () => lines().map(({ finding }) => finding);
      await eventually(() => expect(found()).toEqual(['redis_refuses_writes']));
    },
  );

  test('gets few commands and stays reachable if it is no master any more, so that it is read-only', {
    timeout: 120_000,
  }, async () => {
    const { fleet, broker, onRedis } = await startOnRedis(1);
    await storeUnread(fleet, 20);
    await getTokens(fleet, 20, 5);
    const readOnlySince = performance.now();
    await onRedis(async (client) => client.replicaof('127.0.0.1', await freePort()));
    // As many as one batch of what waits for the store, and more.
    await getTokens(fleet, 100, 80);
    const startedAt = performance.now();
    const before = await onRedis(scriptsRun);
    const reachable: boolean[] = [];
    for (let round = 0; round < 10; round += 1) {
      await getTokens(fleet, 200 + 10 * round, 10);
      reachable.push((await statusOf(broker)).store.reachable);
    }
    const scripts = (await onRedis(scriptsRun)) - before;
    const seconds = (performance.now() - startedAt) / 1_000;
    // A login asks for its lease, its limits and its write. Every second, one batch of 64 writes is tried again, and
    // a status has 50 scripts.
    expect(scripts).toBeLessThan(100 * 10 + (seconds + 1) * (64 + 16) + 10 * 50);
    const readAt = performance.now();
    const beforeReads = await onRedis(scriptsRun);
    for (let round = 0; round < 10; round += 1) await getTokens(fleet, 0, 20);
    const readSeconds = (performance.now() - readAt) / 1_000;
    // Each of the 200 reads tries once to store that the token is read.
    expect((await onRedis(scriptsRun)) - beforeReads).toBeLessThan(200 + (readSeconds + 1) * (64 + 16));
    // A stall of a busy machine may cost one answer. It flapped before.
    expect(reachable.filter((one) => !one).length).toBeLessThanOrEqual(1);
    await eventually(async () => {
      const { findings, store } = await statusOf(broker);
      expect(store.reachable).toBe(true);
      expect(findings).toMatchObject([{ code: 'redis_refuses_writes', reason: 'readonly' }]);
    }, SOON);
    // The log comes by a pipe, and may come after the answer.
    const found = () => warnings(broker).filter(({ finding }) => finding === 'redis_refuses_writes');
    await eventually(() => expect(found()).toHaveLength(1));
    const lines = warnings(broker);
    for (const { msg } of lines) {
      expect(lines.filter((line) => line.msg === msg).length).toBeLessThanOrEqual(
        2 + (performance.now() - readOnlySince) / 10_000,
      );
    }
  });
});

test('five accounts that report tokens which background renewals have ended are a finding on each replica', {
  timeout: 60_000,
}, async () => {
  const env = { ADMIN_TOKEN, REFRESH_AT: '0.05-0.1' };
  const fleet = await startFleet({ replicas: 2, env, vendor: { mode: 'replace', tokenLifetimeSeconds: 60 } });
  const phones = await Promise.all(
    Array.from({ length: 5 }, async (_, phone) => {
      const session = await fleet.session(`account-${phone}`);
      return { session, first: await fleet.broker(phone).getToken(session, 'phone') };
    }),
  );
  await eventually(() => expect(fleet.vendor.state().succeeded).toBe(10), { timeoutMs: 15_000 });
  const report = async (phone: number) => {
    const { session, first } = phones[phone] ?? expect.fail('no such phone');
    const answer = await fleet.broker(phone).getToken(session, 'phone', { refused: first.headers.etag });
    expect(answer.status).toBe(200);
    expect(answer.headers.etag).not.toBe(first.headers.etag);
  };
  // An account that repeats its report counts once.
  for (const phone of [0, 1, 2, 3, 0, 2]) await report(phone);
  // Each replica leaves a summary every 5 s.
  await sleep(6_000);
  for (const broker of fleet.brokers) expect(codesOf(await statusOf(broker))).toEqual([]);
  await report(4);
  for (const broker of fleet.brokers) {
    await eventually(async () => {
      const message = expect.stringContaining('set REFRESH_MODE=on-demand. Reads of due tokens then wait');
      const found = { code: 'renewals_end_tokens', level: 'warn', count: 5, message };
      expect((await statusOf(broker)).findings).toMatchObject([found]);
    }, SOON);
    const { body } = await plainRequest(`${broker.adminUrl}/metrics`);
    expect(body).toContain('sdk_token_broker_finding{code="renewals_end_tokens",level="warn"} 1');
  }
});

test('a fleet shows all its replicas: the missing one, the one with another setting, and not the one that was stopped', {
  timeout: 120_000,
}, async () => {
  const fleet = await startFleet({ replicas: 2, env: { ADMIN_TOKEN, VENDOR_MAX_RPS: '9' } });
  const [one, stopped] = [fleet.broker(0), fleet.broker(1)];
  await eventually(async () => expect((await statusOf(one)).replicas).toHaveLength(2), SOON);
  const { replicas, findings, version } = await statusOf(one);
  expect(findings).toEqual([]);
  expect(new Set(replicas.map(({ configuration }) => configuration)).size).toBe(1);
  for (const replica of replicas) {
    expect(replica).toMatchObject({ version, findings: [], missingSince: null });
    expect(Math.abs(replica.clockOffsetSeconds ?? Number.NaN)).toBeLessThan(5);
  }
  await stopped.stop();
  await eventually(async () => expect((await statusOf(one)).replicas).toHaveLength(1), SOON);
  const other = await startBroker({ ...fleet.env, VENDOR_MAX_RPS: '8' });
  await eventually(async () => {
    const digests = (await statusOf(one)).replicas.map(({ configuration }) => configuration);
    expect(digests).toHaveLength(2);
    expect(new Set(digests).size).toBe(2);
  }, SOON);
  // A replica that starts under the same name after the last summary of another one would have replaced it. All have
  // one.
  await eventually(async () => {
    const report = await statusOf(one);
    const youngest = Math.max(...report.replicas.map(({ startedAt }) => Date.parse(startedAt)));
    expect(Date.parse(report.at) - youngest).toBeGreaterThan(6_000);
  }, SOON);
  other.signal('SIGKILL');
  await eventually(
    async () => {
      const report = await statusOf(one);
      expect(report.findings).toMatchObject([{ code: 'replica_missing', count: 1 }]);
      expect(report.replicas.filter(({ missingSince }) => missingSince !== null)).toHaveLength(1);
    },
    { timeoutMs: 60_000, everyMs: 500 },
  );
});
