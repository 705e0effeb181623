import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { ask } from './ask-redis.ts';
import { end, exitOf } from './child-process.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { redisBinary } from './redis-binary.ts';
import { type RedisServer, startRedis } from './redis-server.ts';

const NAME = 'mymaster';
const SENTINELS = 3;

export interface RedisSentinels {
  /** For REDIS_URL. */
  readonly url: string;
  /** As they were at the start. */
  readonly master: RedisServer;
  readonly replica: RedisServer;
  close(): Promise<void>;
}

export interface Sentinel {
  readonly port: number;
  stop(): Promise<void>;
}

/** A master, a replica and three Sentinels, which let the replica take over some two seconds after the master died. */
export async function startRedisSentinels(): Promise<RedisSentinels> {
  // A replica keeps what its master sends it.
  const dir = await mkdtemp(join(tmpdir(), 'redis-replica-'));
  const running: (() => Promise<void>)[] = [];
  const close = async () => {
    await Promise.all(running.map((stop) => stop()));
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const quick = ['--repl-diskless-sync-delay', '0'];
    const master = await startRedis({ args: quick });
    running.push(() => master.kill());
    const replica = await startRedis({ dir, args: [...quick, '--replicaof', '127.0.0.1', `${master.port}`] });
    running.push(() => replica.kill());
    const sentinels: Sentinel[] = [];
    while (sentinels.length < SENTINELS) {
      const sentinel = await startSentinel({ masterPort: master.port, quorum: 2 });
      running.push(() => sentinel.stop());
      sentinels.push(sentinel);
    }
    for (const sentinel of sentinels) {
      await eventually(() => ask(sentinel, knowsOthers), { timeoutMs: 20_000, everyMs: 100 });
    }
    const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`);
    return { url: `redis-sentinel://${addresses.join(',')}/${NAME}`, master, replica, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface SentinelOptions {
  /** Of the master it watches, on loopback. */
  readonly masterPort: number;
  /** How many Sentinels must agree that the master is down. */
  readonly quorum: number;
  /** Of its own. */
  readonly password?: string;
  /** More lines of its configuration. */
  readonly lines?: readonly string[];
}

/** A Sentinel that calls its master `mymaster`. */
export async function startSentinel({ masterPort, quorum, password, lines = [] }: SentinelOptions): Promise<Sentinel> {
  const port = await freePort();
  const dir = await mkdtemp(join(tmpdir(), 'redis-sentinel-'));
  const config = join(dir, 'sentinel.conf');
  const all = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${masterPort} ${quorum}`,
    `sentinel down-after-milliseconds ${NAME} 500`,
    `sentinel failover-timeout ${NAME} 2000`,
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    ...lines,
  ];
  // It keeps what it learns in there.
  await writeFile(config, `${all.join('\n')}\n`);
  const child = spawn(redisBinary(), [config, '--sentinel'], { stdio: 'ignore' });
  const exit = exitOf(child);
  const asked = { port, ...(password !== undefined && { password }) };
  await eventually(() => ask(asked, (redis) => redis.ping()), { timeoutMs: 10_000 });
  return {
    port,
    async stop() {
      await end(child, exit, 5_000);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Whether a Sentinel knows the replica that can take over, and enough Sentinels to decide it. */
async function knowsOthers(redis: Redis): Promise<boolean> {
  const [others, replicas] = await Promise.all(
    ['SENTINELS', 'REPLICAS'].map((question) => redis.call('SENTINEL', question, NAME) as Promise<unknown[]>),
  );
  return others?.length === SENTINELS - 1 && replicas?.length === 1 && !String(replicas).includes('disconnected');
}
