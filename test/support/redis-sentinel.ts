import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { startProgram } from './child-process.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { newFolder } from './new-folder.ts';
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

interface Sentinel {
  readonly port: number;
  stop(): Promise<unknown>;
}

/**
 * A master, a replica and three Sentinels. They promote the replica about two seconds after the master dies, and
 * end with the test.
 */
export async function startRedisSentinels(): Promise<RedisSentinels> {
  const fastSync = ['--repl-diskless-sync-delay', '0'];
  const master = await startRedis({ args: fastSync });
  const replica = await startRedis({ args: [...fastSync, '--replicaof', '127.0.0.1', `${master.port}`] });
  const sentinels: Sentinel[] = [];
  while (sentinels.length < SENTINELS) sentinels.push(await startSentinel({ masterPort: master.port, quorum: 2 }));
  for (const sentinel of sentinels) {
    await eventually(() => askRedis(sentinel, knowsTheOthers), { everyMs: 100 });
  }
  const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`);
  const stops = [master.kill, replica.kill, ...sentinels.map(({ stop }) => stop)];
  const close = async () => void (await Promise.all(stops.map((stop) => stop())));
  return { url: `redis-sentinel://${addresses.join(',')}/${NAME}`, master, replica, close };
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
  const dir = newFolder();
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
  const { stop } = startProgram([redisBinary(), config, '--sentinel']);
  const address = { port, ...(password !== undefined && { password }) };
  await eventually(() => askRedis(address, (redis) => redis.ping()));
  return { port, stop: endWithTest(stop) };
}

/** Whether the Sentinel knows a connected replica and the other Sentinels. A failover needs both. */
async function knowsTheOthers(redis: Redis): Promise<boolean> {
  const [others, replicas] = await Promise.all(
    ['SENTINELS', 'REPLICAS'].map((question) => redis.call('SENTINEL', question, NAME) as Promise<unknown[]>),
  );
  return others?.length === SENTINELS - 1 && replicas?.length === 1 && !String(replicas).includes('disconnected');
}
