import { randomBytes, randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { MemoryTokenStore } from '../../src/store/memory/memory-store.ts';
import { RedisTokenStore } from '../../src/store/redis/redis-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import { silentObserver } from '../../src/token/observer.ts';
import { eventually } from '../support/eventually.ts';
import { TERMINALS, tokenStoreContract } from './token-store.contract.ts';

const log = { info: () => undefined, warn: () => undefined };

async function openRedis(encrypted: boolean): Promise<RedisTokenStore> {
  const store = new RedisTokenStore({
    url: inject('redisUrl'),
    keyPrefix: `test-${randomUUID()}`,
    encryptionKeys: encrypted ? [{ id: 'k1', key: randomBytes(32) }] : [],
    terminalsPerAccount: TERMINALS,
    clock: systemClock,
    log,
    observer: silentObserver,
  });
  await eventually(() => store.ping().then(() => true));
  return store;
}

tokenStoreContract(
  'this process',
  async () => new MemoryTokenStore({ clock: systemClock, terminalsPerAccount: TERMINALS }),
);
tokenStoreContract('Redis, encrypted', () => openRedis(true));
tokenStoreContract('Redis, in the clear', () => openRedis(false));
