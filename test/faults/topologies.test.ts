import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { ask } from '../support/ask-redis.ts';
import { startFleet } from '../support/fleet.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { percentile, repeatedly, report, sample } from './board.ts';

const SUBJECTS = 30;
const LIFETIME_SECONDS = 12;
/** The first tokens fall due. */
const BEFORE_MS = 8_500;
const AFTER_MS = 30_000;
/** Tokens are renewed at 0.7 to 0.9 of their life. */
const MOST_RENEWALS = Math.ceil((BEFORE_MS + AFTER_MS) / (0.7 * LIFETIME_SECONDS * 1_000));
const FEWEST_AFTERWARDS = Math.floor(AFTER_MS / (LIFETIME_SECONDS * 1_000));
/** What a failover may cost a subject besides. */
const MOST_EXTRA = 2;

interface Running {
  readonly url: string;
  /** The server that is lost. */
  readonly master: RedisServer;
  /** Whether another one is master in its place. */
  hasTakenOver(): Promise<boolean>;
}

async function cluster(): Promise<Running> {
  const { url, nodes, close } = await startRedisCluster();
  onTestFinished(close);
  const [master, , , replica] = nodes as [RedisServer, RedisServer, RedisServer, RedisServer];
  return { url, master, hasTakenOver: () => isMaster(replica) };
}

async function sentinels(): Promise<Running> {
  const { url, master, replica, close } = await startRedisSentinels();
  onTestFinished(close);
  return { url, master, hasTakenOver: () => isMaster(replica) };
}

function isMaster(server: RedisServer): Promise<boolean> {
  return ask(server, (redis) => redis.info('replication')).then((info) => info.includes('role:master'));
}

const LOSSES: readonly (readonly [string, () => Promise<Running>, (master: RedisServer) => unknown])[] = [
  ['one master of a Redis Cluster killed', cluster, (master) => master.kill()],
  ['one master of a Redis Cluster hung for good', cluster, (master) => master.pause()],
  ['the master behind Sentinels killed', sentinels, (master) => master.kill()],
  ['the master behind Sentinels hung for good', sentinels, (master) => master.pause()],
];

test.each(LOSSES)(
  '%s costs no read, and every token is renewed in time',
  async (fault, start, lose) => {
    const redis = await start();
    const fleet = await startFleet({
      replicas: 2,
      vendor: { tokenLifetimeSeconds: LIFETIME_SECONDS, latencyMs: 50, mode: 'overlap' },
      env: { REDIS_URL: redis.url },
    });
    onTestFinished(() => fleet.close());
    const accounts = Array.from({ length: SUBJECTS }, (_, number) => `account-${number}`);
    const sessions = await Promise.all(accounts.map((account) => fleet.session(account)));
    const logins = () => accounts.map((account) => fleet.vendor.loginsOf(account, 'phone'));
    const reading = repeatedly(BEFORE_MS + AFTER_MS, 500, (round) =>
      Promise.all(sessions.map((session, index) => sample(fleet, fleet.broker(round + index), session))),
    );
    await sleep(BEFORE_MS);
    const before = logins();
    await lose(redis.master);
    const samples = (await reading).flat();
    const after = logins();
    expect(await redis.hasTakenOver()).toBe(true);

    expect(samples.filter(({ status }) => status !== 200)).toEqual([]);
    expect(samples.filter(({ live }) => !live)).toEqual([]);
    const afterwards = after.map((count, index) => count - (before[index] ?? 0));
    const extra = after.map((count) => Math.max(0, count - 1 - MOST_RENEWALS));
    const p99 = percentile(
      samples.map(({ tookMs }) => tookMs),
      0.99,
    );
    report({
      fault: `${fault}, ${SUBJECTS} subjects with ${LIFETIME_SECONDS}-second tokens read on 2 replicas`,
      promise: 'every read answered, no dead token, every token renewed in time',
      measured: `${samples.length} reads: 0 failed, 0 dead; p99 ${p99.toFixed(0)} ms; ${Math.min(...after)} to ${Math.max(...after)} logins a subject in ${(BEFORE_MS + AFTER_MS) / 1_000} s`,
    });
    expect(Math.min(...afterwards)).toBeGreaterThanOrEqual(FEWEST_AFTERWARDS);
    expect(Math.max(...extra)).toBeLessThanOrEqual(MOST_EXTRA);
  },
  120_000,
);
