import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll } from 'vitest';
import { RedisTokenStore } from '../../src/store/redis/redis-token-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import { silentObserver } from '../../src/token/observer.ts';
import { eventually } from '../support/eventually.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { startRedisSentinels } from '../support/redis-sentinel.ts';
import { TERMINALS, tokenStoreContract } from './token-store.contract.ts';

const log = { info: () => undefined, warn: () => undefined };

async function openStore({ url, close }: { readonly url: string; close(): Promise<void> }): Promise<RedisTokenStore> {
  afterAll(close);
  const store = new RedisTokenStore({
    url,
    keyPrefix: `test-${randomUUID()}`,
    encryptionKeys: [{ id: 'k1', key: randomBytes(32) }],
    terminalsPerAccount: TERMINALS,
    clock: systemClock,
    log,
    observer: silentObserver,
  });
  await eventually(() => store.ping().then(() => true));
  return store;
}

tokenStoreContract('Redis Cluster', async () => openStore(await startRedisCluster()));
tokenStoreContract('Redis behind Sentinels', async () => openStore(await startRedisSentinels()));
