import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { newKey, openRedisStore, type TestKey } from '../support/filled-store.ts';
import { tokenStoreContract } from './token-store.contract.ts';

const openRedis = (keys: readonly TestKey[]) => openRedisStore(inject('redisUrl'), `test-${randomUUID()}`, keys);

tokenStoreContract('Redis, encrypted', () => openRedis([newKey('k1')]));
tokenStoreContract('Redis, in the clear', () => openRedis([]));
