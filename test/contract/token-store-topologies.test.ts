import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from 'vitest';
import { createRedisStore } from '../../src/store/redis/redis-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import { silentObserver } from '../../src/token/observer.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import { eventually } from '../support/eventually.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';
import { type RedisSentinels, startRedisSentinels } from '../support/redis-sentinel.ts';
import { TERMINALS, tokenStoreContract } from './token-store.contract.ts';

const log = { info: () => undefined, warn: () => undefined };

async function openStore(url: string): Promise<TokenStore> {
  const store = createRedisStore({
    url,
    keyPrefix: `test-${randomUUID()}`,
    encryptionKeys: [{ id: 'k1', key: randomBytes(32) }],
    terminalsPerAccount: TERMINALS,
    clock: systemClock,
    log,
    observer: silentObserver,
  });
  await eventually(() => store.health.ping().then(() => true));
  return store;
}

let cluster: RedisCluster;
let sentinels: RedisSentinels;
beforeAll(async () => {
  [cluster, sentinels] = await Promise.all([startRedisCluster(), startRedisSentinels()]);
}, 60_000);
afterAll(async () => {
  await Promise.all([cluster.close(), sentinels.close()]);
});

tokenStoreContract('Redis Cluster', () => openStore(cluster.url));
tokenStoreContract('Redis behind Sentinels', () => openStore(sentinels.url));
