import { randomBytes, randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { createRedisStore } from '../../src/store/redis/redis-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import { silentObserver } from '../../src/token/observer.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import { eventually } from '../support/eventually.ts';
import { TERMINALS, tokenStoreContract } from './token-store.contract.ts';

const log = { info: () => undefined, warn: () => undefined };

async function openRedis(encrypted: boolean): Promise<TokenStore> {
  const store = createRedisStore({
    url: inject('redisUrl'),
    keyPrefix: `test-${randomUUID()}`,
    encryptionKeys: encrypted ? [{ id: 'k1', key: randomBytes(32) }] : [],
    terminalsPerAccount: TERMINALS,
    clock: systemClock,
    log,
    observer: silentObserver,
  });
  await eventually(() => store.health.ping().then(() => true));
  return store;
}

tokenStoreContract('this process', async () =>
  createMemoryStore({ clock: systemClock, terminalsPerAccount: TERMINALS }),
);
tokenStoreContract('Redis, encrypted', () => openRedis(true));
tokenStoreContract('Redis, in the clear', () => openRedis(false));
