import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { SHARDS } from '../../src/store/redis/keys.ts';
import { eventually } from '../support/eventually.ts';
import { startServices } from '../support/fleet.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startRedis } from '../support/redis-server.ts';

/** The background worker looks at the due queue every 5 s. */
const ROUNDS = 2;
/** Commands that do not come from the broker: those of this test, and of the servers among themselves. */
const NOT_OF_THE_BROKER = ['info', 'replconf', 'psync'];

interface Commands {
  readonly total: number;
  /** Looks at the due queue: one per shard in each round of the worker. */
  readonly looks: number;
}

/** Counts the commands on all servers since their start. Those inside scripts count too. */
async function commandsOn(servers: readonly Redis[]): Promise<Commands> {
  const counts = { total: 0, looks: 0 };
  for (const info of await Promise.all(servers.map((server) => server.info('commandstats')))) {
    for (const [, name = '', calls] of info.matchAll(/^cmdstat_([^:|]+)[^:]*:calls=(\d+)/gm)) {
      if (!NOT_OF_THE_BROKER.includes(name)) counts.total += Number(calls);
      if (name === 'zrange') counts.looks += Number(calls);
    }
  }
  return counts;
}

async function startSingle() {
  const redis = await startRedis();
  return { url: redis.url, masters: [redis], close: () => redis.stop() };
}

async function startCluster() {
  const { url, nodes, close } = await startRedisCluster();
  return { url, masters: nodes.slice(0, 3), close };
}

describe('an idle replica with stored tokens that are not due', () => {
  // A heartbeat is a script with TIME, PUBLISH, XREVRANGE and XRANGE. On a cluster there is one per shard.
  test.concurrent.for([
    { store: 'one Redis', start: startSingle, perSecond: 11, perHeartbeat: 5 },
    { store: 'a cluster of three masters', start: startCluster, perSecond: 96, perHeartbeat: 5 * SHARDS },
  ])(
    'sends at most $perSecond commands per second to $store, those inside scripts included',
    { timeout: 90_000 },
    async ({ start, perSecond, perHeartbeat }, { onTestFinished }) => {
      const { url, masters, close } = await start();
      onTestFinished(close);
      const fleet = await startServices({ replicas: 1, env: { REDIS_URL: url } });
      onTestFinished(() => fleet.close());
      const servers = masters.map(({ port }) => new Redis(port, '127.0.0.1'));
      onTestFinished(() => {
        for (const server of servers) server.disconnect();
      });
      const accounts = Array.from({ length: 20 }, (_, number) => `account-${number}`);
      const logins = accounts.map(async (account) => fleet.broker(0).getToken(await fleet.session(account), 'phone'));
      expect((await Promise.all(logins)).filter(({ status }) => status !== 200)).toEqual([]);

      const nextRound = async () => {
        const { looks } = await commandsOn(servers);
        let commands = { looks, total: 0 };
        const isOver = async () => {
          commands = await commandsOn(servers);
          return commands.looks >= looks + SHARDS;
        };
        await eventually(isOver, { everyMs: 200 });
        return { ...commands, at: performance.now() };
      };
      // Each login announces its token, so the worker looks once more after a second.
      await nextRound();
      const from = await nextRound();
      let to = from;
      for (let round = 0; round < ROUNDS; round += 1) to = await nextRound();
      const seconds = (to.at - from.at) / 1_000;
      expect(to.looks - from.looks).toBe(ROUNDS * SHARDS);
      // The time between the rounds may include one more heartbeat than it has seconds.
      expect(to.total - from.total).toBeLessThanOrEqual(Math.ceil(perSecond * seconds) + perHeartbeat);
      expect(fleet.vendor.state().requests).toBe(accounts.length);
    },
  );
});
