import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { accessIdOf, newKey, openRedisStore, saveToken, type TestKey } from '../../../support/filled-store.ts';

const KEY = newKey('one');
const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };

/** A store with a token, and the look-up by its accessId laid open. */
async function withToken() {
  const [url, keyPrefix] = [inject('redisUrl'), `accounts-${randomUUID()}`];
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const open = async (key: TestKey) => {
    const store = await openRedisStore(url, keyPrefix, [key]);
    onTestFinished(() => store.close());
    return store;
  };
  const store = await open(KEY);
  await saveToken(store, SUBJECT);
  const accessId = accessIdOf(SUBJECT.unionId);
  const found = async () => [...(await store.lookUp([accessId])).values()];
  return { redis, open, store, found, key: new Keys(keyPrefix).accessId(accessId) };
}

describe('the look-up by accessId, at the next login', () => {
  test('is left as it is where it stands', async () => {
    const { redis, store, found, key } = await withToken();
    const sealed = await redis.getBuffer(key);
    await saveToken(store, SUBJECT);
    expect(await redis.getBuffer(key)).toEqual(sealed);
    expect(await found()).toEqual(['alice']);
  });

  test('is made good for where it was lost', async () => {
    const { redis, store, found, key } = await withToken();
    await redis.del(key);
    expect(await found()).toEqual([]);
    await saveToken(store, SUBJECT);
    expect(await found()).toEqual(['alice']);
  });

  test('is made good for where no key opens it any more', async () => {
    const { open } = await withToken();
    const other = await open(newKey('two'));
    expect((await other.lookUp([accessIdOf('alice')])).size).toBe(0);
    await saveToken(other, SUBJECT);
    expect((await other.lookUp([accessIdOf('alice')])).get(accessIdOf('alice'))).toBe('alice');
  });
});
