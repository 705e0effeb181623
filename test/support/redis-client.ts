import { Redis } from 'ioredis';
import { inject } from 'vitest';
import { endWithTest } from './end-with-test.ts';

/** Connects to a Redis, by default to that of all tests, until the test is over. */
export function redisClient(url = inject('redisUrl')): Redis {
  const redis = new Redis(url);
  endWithTest(async () => redis.disconnect());
  return redis;
}

/** The keys of a Redis that match a pattern. */
export async function keysMatching(pattern: string, redis = redisClient()): Promise<string[]> {
  const keys: string[] = [];
  for await (const batch of redis.scanStream({ match: pattern, count: 1_000 })) keys.push(...(batch as string[]));
  return keys;
}
