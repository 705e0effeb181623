import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import { newKey, openRedisStore, type TestKey } from '../support/filled-store.ts';
import { TERMINALS, tokenStoreContract } from './token-store.contract.ts';

const openRedis = (keys: readonly TestKey[]) => openRedisStore(inject('redisUrl'), `test-${randomUUID()}`, keys);

tokenStoreContract('this process', async () =>
  createMemoryStore({ clock: systemClock, terminalsPerAccount: TERMINALS }),
);
tokenStoreContract('Redis, encrypted', () => openRedis([newKey('k1')]));
tokenStoreContract('Redis, in the clear', () => openRedis([]));
