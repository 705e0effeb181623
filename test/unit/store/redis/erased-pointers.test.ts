import { randomUUID } from 'node:crypto';
import { describe, expect, inject, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { accountId, subjectId } from '../../../../src/token/subject.ts';
import { accessIdOf, openRedisStore, saveToken } from '../../../support/filled-store.ts';
import { madeUpRecord, madeUpToken } from '../../../support/made-up-tokens.ts';
import { redisClient } from '../../../support/redis-client.ts';
import { askRedis, startRedis } from '../../../support/redis-server.ts';
import { granted } from '../../../support/redis-state.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const ACCESS_ID = accessIdOf(SUBJECT.unionId);

async function openStore(url = inject('redisUrl'), keyPrefix = `pointers-${randomUUID()}`) {
  const store = await openRedisStore(url, keyPrefix, []);
  const redis = redisClient(url);
  const keys = new Keys(keyPrefix);
  const hasPointer = async () => (await redis.exists(keys.accessId(ACCESS_ID))) === 1;
  return { store, redis, keys, keyPrefix, hasPointer };
}

describe('an erasure leaves no pointer from the accessId to the account', () => {
  test('if a login stores its token just before it, and the pointer after it', async () => {
    const { store, redis, keys, hasPointer } = await openStore();
    // So Redis and the connection know the scripts.
    await saveToken(store, { ...SUBJECT, unionId: 'bob' });
    await store.accounts.erase('bob');
    const lease = await granted(store, ID);
    const record = { ...madeUpRecord(SUBJECT, madeUpToken(ACCESS_ID)), generation: lease.generation };
    // Redis executes the two scripts one after the other. What follows each of them is mixed.
    const [outcome] = await Promise.all([
      store.terminals.save(lease, record, systemClock.now() + 60_000),
      store.accounts.erase(SUBJECT.unionId),
    ]);
    expect(outcome).toBe('saved');
    expect(await redis.hkeys(keys.account(accountId(SUBJECT.unionId)))).toEqual(['e']);
    expect(await hasPointer()).toBe(false);
  });

  test('if a request stores the pointer again while the account is erased, and the request finds no account', async () => {
    const { store, redis, keys, hasPointer } = await openStore();
    await saveToken(store, SUBJECT);
    await redis.del(keys.accessId(ACCESS_ID));
    const [known] = await Promise.all([
      store.accounts.identify(SUBJECT.unionId),
      store.accounts.erase(SUBJECT.unionId),
    ]);
    expect(known).toBeUndefined();
    expect(await hasPointer()).toBe(false);
  });

  test('if it fails before it deletes the pointer, and is repeated', async () => {
    const server = await startRedis();
    const { store, keyPrefix, hasPointer } = await openStore(server.url);
    await saveToken(store, SUBJECT);
    // This user may run the scripts, but delete no keys.
    await askRedis(server, (redis) =>
      redis.call('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all', '-del'),
    );
    const limited = await openRedisStore(server.url.replace('//', '//limited:secret@'), keyPrefix, []);
    await expect(limited.accounts.erase(SUBJECT.unionId)).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await hasPointer()).toBe(true);
    await store.accounts.erase(SUBJECT.unionId);
    expect(await hasPointer()).toBe(false);
  });
});
