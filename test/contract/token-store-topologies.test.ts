import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { newKey, openRedisStore } from '../support/filled-store.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';
import { type RedisSentinels, startRedisSentinels } from '../support/redis-sentinel.ts';
import { replicaSummariesContract } from './replica-summaries.contract.ts';
import { tokenStoreContract } from './token-store.contract.ts';

let cluster: RedisCluster;
let sentinels: RedisSentinels;
beforeAll(async () => {
  [cluster, sentinels] = await Promise.all([startRedisCluster(), startRedisSentinels()]);
});
afterAll(async () => {
  await Promise.all([cluster.close(), sentinels.close()]);
});

const prefix = `test-${randomUUID()}`;
replicaSummariesContract('Redis Cluster', () => openRedisStore(cluster.url, prefix, []));
replicaSummariesContract('Redis behind Sentinels', () => openRedisStore(sentinels.url, prefix, []));
// Behind Sentinels, only the connection differs from that to one Redis.
tokenStoreContract('Redis Cluster, encrypted', () =>
  openRedisStore(cluster.url, `test-${randomUUID()}`, [newKey('k1')]),
);
