import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { newKey, openRedisStore } from '../support/filled-store.ts';
import { HAPROXY, startHaproxy } from '../support/haproxy.ts';
import { type RedisCluster, startOneNode, startRedisCluster } from '../support/redis-cluster.ts';
import { type RedisSentinels, startRedisSentinels } from '../support/redis-sentinel.ts';
import { startRedis } from '../support/redis-server.ts';
import { onPath } from '../support/system-binary.ts';
import { replicaSummariesContract } from './replica-summaries.contract.ts';
import { tokenStoreContract } from './token-store.contract.ts';

const VALKEY = onPath('valkey-server');

let cluster: RedisCluster;
let sentinels: RedisSentinels;
let [oneNode, proxied] = ['', ''];
beforeAll(async () => {
  [cluster, sentinels, oneNode, proxied] = await Promise.all([
    startRedisCluster(),
    startRedisSentinels(),
    startOneNode().then(({ url }) => url),
    VALKEY && HAPROXY ? startRedis({ program: VALKEY }).then((server) => startHaproxy(server)) : '',
  ]);
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
tokenStoreContract('one slot of a cluster, through one address', () =>
  openRedisStore(oneNode, `{test-${randomUUID()}}`, []),
);
if (VALKEY && HAPROXY)
  tokenStoreContract('Valkey behind HAProxy', () => openRedisStore(proxied, `test-${randomUUID()}`, []));
