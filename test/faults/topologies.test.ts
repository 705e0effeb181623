import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startFleet } from '../support/fleet.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { askRedis, type RedisServer } from '../support/redis-server.ts';
import { answeredWithin, repeatedly, reportFault, timedRead } from './fault-report.ts';

const SUBJECTS = 30;
const LIFETIME_SECONDS = 12;
/** By then the first tokens are due. */
const BEFORE_MS = 8_500;
const AFTER_MS = 30_000;
/** The broker renews a token at 70 to 90 % of its lifetime. */
const MOST_RENEWALS = Math.ceil((BEFORE_MS + AFTER_MS) / (0.7 * LIFETIME_SECONDS * 1_000));
const FEWEST_AFTERWARDS = Math.floor(AFTER_MS / (LIFETIME_SECONDS * 1_000));
/** Logins of a subject that a failover may cause in addition. */
const MOST_EXTRA = 2;

interface StartedRedis {
  readonly url: string;
  /** The server that fails. */
  readonly master: RedisServer;
  /** Whether the replica has become the master. */
  hasTakenOver(): Promise<boolean>;
}

async function cluster(): Promise<StartedRedis> {
  const { url, nodes } = await startRedisCluster();
  const [master, , , replica] = nodes as [RedisServer, RedisServer, RedisServer, RedisServer];
  return { url, master, hasTakenOver: () => isMaster(replica) };
}

async function sentinels(): Promise<StartedRedis> {
  const { url, master, replica } = await startRedisSentinels();
  return { url, master, hasTakenOver: () => isMaster(replica) };
}

function isMaster(server: RedisServer): Promise<boolean> {
  return askRedis(server, (redis) => redis.info('replication')).then((info) => info.includes('role:master'));
}

const FAILURES: readonly (readonly [string, () => Promise<StartedRedis>, (master: RedisServer) => unknown])[] = [
  ['one master of a Redis Cluster crashes', cluster, (master) => master.kill()],
  ['one master of a Redis Cluster hangs for good', cluster, (master) => master.pause()],
  ['the master behind Sentinels crashes', sentinels, (master) => master.kill()],
  ['the master behind Sentinels hangs for good', sentinels, (master) => master.pause()],
];

test.each(FAILURES)(
  '%s: no read fails, and the broker renews every token in time',
  async (fault, start, breakMaster) => {
    const redis = await start();
    const fleet = await startFleet({
      replicas: 2,
      vendor: { tokenLifetimeSeconds: LIFETIME_SECONDS, latencyMs: 50, mode: 'overlap' },
      env: { REDIS_URL: redis.url },
    });
    const accounts = Array.from({ length: SUBJECTS }, (_, number) => `account-${number}`);
    const sessions = await Promise.all(accounts.map((account) => fleet.session(account)));
    const logins = () => accounts.map((account) => fleet.vendor.loginsOf(account, 'phone'));
    const reading = repeatedly(BEFORE_MS + AFTER_MS, 500, (round) =>
      Promise.all(sessions.map((session, index) => timedRead(fleet, fleet.broker(round + index), session))),
    );
    await sleep(BEFORE_MS);
    const before = logins();
    await breakMaster(redis.master);
    const reads = (await reading).flat();
    const after = logins();
    expect(await redis.hasTakenOver()).toBe(true);

    expect(reads.filter(({ status }) => status !== 200)).toEqual([]);
    expect(reads.filter(({ live }) => !live)).toEqual([]);
    const afterwards = after.map((count, index) => count - (before[index] ?? 0));
    const extra = after.map((count) => Math.max(0, count - 1 - MOST_RENEWALS));
    const p99 = answeredWithin(reads, 0.99);
    reportFault({
      promise:
        `${SUBJECTS} subjects with tokens of ${LIFETIME_SECONDS} s, 2 replicas, ${(BEFORE_MS + AFTER_MS) / 1_000} s: ` +
        'no failed read; p99; logins per subject',
      fault,
      measured: `${p99.toFixed(0)} ms; ${Math.max(...after)}`,
    });
    expect(Math.min(...afterwards)).toBeGreaterThanOrEqual(FEWEST_AFTERWARDS);
    expect(Math.max(...extra)).toBeLessThanOrEqual(MOST_EXTRA);
  },
  120_000,
);
