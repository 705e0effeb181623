import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { end, exitOf } from './child-process.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { askRedis, type RedisServer, redisBinary, startRedis } from './redis-server.ts';

const NAME = 'mymaster';
const SENTINELS = 3;

export interface RedisSentinels {
  /** For REDIS_URL. */
  readonly url: string;
  /** The roles at the start. A failover does not change these fields. */
  readonly master: RedisServer;
  readonly replica: RedisServer;
  close(): Promise<void>;
}

export interface Sentinel {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * A master, a replica and three Sentinels. They promote the replica about two seconds after the master dies, and
 * end with the test.
 */
export async function startRedisSentinels(): Promise<RedisSentinels> {
  // The replica writes the data that it gets from its master into this folder.
  const dir = await mkdtemp(join(tmpdir(), 'redis-replica-'));
  const running: (() => Promise<void>)[] = [];
  const close = endWithTest(async () => {
    await Promise.all(running.map((stop) => stop()));
    await rm(dir, { recursive: true, force: true });
  });
  try {
    const fastSync = ['--repl-diskless-sync-delay', '0'];
    const master = await startRedis({ args: fastSync });
    running.push(() => master.kill());
    const replica = await startRedis({ dir, args: [...fastSync, '--replicaof', '127.0.0.1', `${master.port}`] });
    running.push(() => replica.kill());
    const sentinels: Sentinel[] = [];
    while (sentinels.length < SENTINELS) {
      const sentinel = await startSentinel({ masterPort: master.port, quorum: 2 });
      running.push(() => sentinel.stop());
      sentinels.push(sentinel);
    }
    for (const sentinel of sentinels) {
      await eventually(() => askRedis(sentinel, knowsTheOthers), { everyMs: 100 });
    }
    const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`);
    return { url: `redis-sentinel://${addresses.join(',')}/${NAME}`, master, replica, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface SentinelOptions {
  /** Port of the monitored master on loopback. */
  readonly masterPort: number;
  /** How many Sentinels must agree that the master is down. */
  readonly quorum: number;
  /** Password of the Sentinel itself. */
  readonly password?: string;
  /** Additional lines of its configuration file. */
  readonly lines?: readonly string[];
}

/** Starts a Sentinel that monitors one master under the name `mymaster`. It ends with the test. */
export async function startSentinel({ masterPort, quorum, password, lines = [] }: SentinelOptions): Promise<Sentinel> {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), 'redis-sentinel-'));
  const config = join(dir, 'sentinel.conf');
  const allLines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${masterPort} ${quorum}`,
    `sentinel down-after-milliseconds ${NAME} 500`,
    `sentinel failover-timeout ${NAME} 2000`,
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    ...lines,
  ];
  // A Sentinel rewrites its configuration file to save its state.
  await writeFile(config, `${allLines.join('\n')}\n`);
  const child = spawn(redisBinary(), [config, '--sentinel'], { stdio: 'ignore' });
  const exit = exitOf(child);
  const address = { port, ...(password !== undefined && { password }) };
  await eventually(() => askRedis(address, (redis) => redis.ping()));
  return {
    port,
    stop: endWithTest(async () => {
      await end(child, exit, 5_000);
      await rm(dir, { recursive: true, force: true });
    }),
  };
}

/** Whether the Sentinel knows a connected replica and the other Sentinels. A failover needs both. */
async function knowsTheOthers(redis: Redis): Promise<boolean> {
  const [others, replicas] = await Promise.all(
    ['SENTINELS', 'REPLICAS'].map((question) => redis.call('SENTINEL', question, NAME) as Promise<unknown[]>),
  );
  return others?.length === SENTINELS - 1 && replicas?.length === 1 && !String(replicas).includes('disconnected');
}
