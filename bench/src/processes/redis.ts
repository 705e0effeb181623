import { Redis } from 'ioredis';
import { type RedisServer, startRedis } from '../../../test/support/redis-server.ts';
import { LOAD_CORE, moveToCores } from './cores.ts';

/** Starts an empty Redis on the load core. The caller stops it. */
export async function startBenchRedis(): Promise<RedisServer> {
  const redis = await startRedis();
  moveToCores(LOAD_CORE, redis.pid);
  return redis;
}

/** Runs `use` with a client of a new, empty Redis, and stops that Redis. */
export async function withEmptyRedis<T>(use: (redis: Redis, url: string) => Promise<T>): Promise<T> {
  const server = await startBenchRedis();
  const redis = new Redis(server.url);
  try {
    return await use(redis, server.url);
  } finally {
    redis.disconnect();
    await server.stop();
  }
}

/** Bytes that Redis has allocated, for data and for its own needs. */
export async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}
