import { type RedisServer, startRedis } from '../../../test/support/redis-server.ts';
import { LOAD_CORE, moveToCores } from './cores.ts';

/** An empty Redis of one's own on the core of the load. To be stopped by who started it. */
export async function startBenchRedis(): Promise<RedisServer> {
  const redis = await startRedis();
  moveToCores(LOAD_CORE, redis.pid);
  return redis;
}
