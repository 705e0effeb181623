import { rmSync } from 'node:fs';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { askRedis, type RedisServer, startRedis } from '../support/redis-server.ts';

export const TOPOLOGIES = ['single', 'sentinel', 'cluster'] as const;
export type RedisTopology = (typeof TOPOLOGIES)[number];

export type RedisData = 'all' | 'old' | 'none';

/** The Redis of a run, of any topology. A method that its topology does not have does nothing. */
export interface RedisUnderTest {
  /** `REDIS_URL` of this replica. */
  urlOf(replica: number): string;
  /** The link of each replica to its Redis. Only with one server. */
  readonly links: readonly FaultProxy[];
  /** The servers that accept writes now. */
  masters(): Promise<readonly [RedisServer, ...RedisServer[]]>;
  /** Resolves when another server has taken over from `former`. */
  untilReplaced(former: RedisServer): Promise<void>;
  /** Resolves when each master has a replica in good health, so that another failover is possible. */
  untilReplicated(): Promise<void>;
  close(): Promise<void>;
}

export interface SingleRedis extends RedisUnderTest {
  /** Keeps a copy of the data of this moment. */
  takeSnapshot(): Promise<void>;
  /** Kills the server, and starts it again after `downMs` with its data, with that of the snapshot, or without. */
  crash(data: RedisData, downMs: number): Promise<void>;
}

export interface SentinelRedis extends RedisUnderTest {
  /** Starts a planned failover. @returns whether the Sentinels have begun one */
  failOver(): Promise<boolean>;
}

/** @param folder empty, for the data of the servers */
export function startRedisUnderTest(
  topology: RedisTopology,
  replicas: number,
  folder: string,
): Promise<RedisUnderTest> {
  if (topology === 'single') return startSingle(replicas, folder);
  return topology === 'sentinel' ? startSentinels() : startCluster();
}

const SNAPSHOT = 'snapshot.rdb';

async function startSingle(replicas: number, folder: string): Promise<SingleRedis> {
  const dir = join(folder, 'redis');
  await mkdir(dir);
  // With the append-only file on, Redis would not read the snapshot.
  let startsFrom: RedisData = 'all';
  const server = await startRedis({
    dir,
    get args() {
      const persistence =
        startsFrom === 'old' ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', 'no'];
      return ['--enable-debug-command', 'yes', '--dbfilename', SNAPSHOT, ...persistence];
    },
  });
  const links = await Promise.all(Array.from({ length: replicas }, () => startFaultProxy(server.port)));
  const kept = join(dir, 'kept.rdb');
  return {
    urlOf: (replica) => `redis://127.0.0.1:${links[replica]?.port}`,
    links,
    masters: async () => [server],
    untilReplaced: async () => undefined,
    untilReplicated: async () => undefined,
    async takeSnapshot() {
      await askRedis(server, (redis) => redis.save());
      await copyFile(join(dir, SNAPSHOT), kept);
    },
    async crash(data, downMs) {
      await server.kill();
      if (data !== 'all') {
        await rm(join(dir, 'appendonlydir'), { recursive: true, force: true });
        await rm(join(dir, SNAPSHOT), { force: true });
      }
      if (data === 'old') await copyFile(kept, join(dir, SNAPSHOT));
      await sleep(downMs);
      startsFrom = data;
      await server.restart();
      if (data === 'old') await askRedis(server, (redis) => redis.config('SET', 'appendonly', 'yes'));
    },
    async close() {
      await Promise.all(links.map((link) => link.close()));
      await server.kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const NAME = 'mymaster';

async function startSentinels(): Promise<SentinelRedis> {
  const sentinels = await startRedisSentinels();
  const servers = [sentinels.master, sentinels.replica];
  const [port = 0] = [...sentinels.url.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, digits]) => Number(digits));
  const master = async () => {
    const address = await askRedis({ port }, (redis) => redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME));
    return servers.find((server) => `${server.port}` === (address as string[])[1]) ?? sentinels.master;
  };
  return {
    urlOf: () => sentinels.url,
    links: [],
    masters: async () => [await master()],
    untilReplaced: async (former) => {
      await eventually(async () => (await master()) !== former, { everyMs: 50 });
    },
    untilReplicated: async () => {
      await eventually(async () => hasReplica(await master()), { everyMs: 200 });
    },
    async failOver() {
      // The Sentinels refuse while another failover runs, or without a replica in good health.
      return askRedis({ port }, (redis) => redis.call('SENTINEL', 'FAILOVER', NAME)).then(
        () => true,
        () => false,
      );
    },
    close: sentinels.close,
  };
}

async function startCluster(): Promise<RedisUnderTest> {
  const cluster = await startRedisCluster();
  const masters = async () => {
    const roles = await Promise.all(cluster.nodes.map((node) => roleOf(node)));
    const [first, ...others] = cluster.nodes.filter((_, index) => roles[index] === 'master');
    if (!first) throw new Error('the cluster has no master');
    return [first, ...others] as const;
  };
  return {
    urlOf: () => cluster.url,
    links: [],
    masters,
    untilReplaced: (former) => cluster.waitUntilServing(former),
    untilReplicated: async () => {
      const areReplicated = async () => (await Promise.all((await masters()).map(hasReplica))).every(Boolean);
      await eventually(areReplicated, { everyMs: 200 });
    },
    close: cluster.close,
  };
}

async function roleOf(server: RedisServer): Promise<string> {
  const [role] = await askRedis(server, (redis) => redis.role());
  return String(role);
}

async function hasReplica(master: RedisServer): Promise<boolean> {
  return (await askRedis(master, (redis) => redis.info('replication'))).includes('state=online');
}
