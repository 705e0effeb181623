import type { Redis } from 'ioredis';

/** Bytes that Redis has allocated for its data and its own needs. */
export async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}
