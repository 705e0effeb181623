import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { RESERVED_LENGTH } from '../../../../src/store/redis/records/record-codec.ts';
import { keyIdOf } from '../../../../src/store/redis/records/token-cipher.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import type { TokenStore } from '../../../../src/token/ports.ts';
import { accountId, subjectId } from '../../../../src/token/subject.ts';
import { eventually } from '../../../support/eventually.ts';
import { accessIdOf, newKey, openRedisStore, saveToken, type TestKey } from '../../../support/filled-store.ts';
import { makeDue } from '../../../support/make-due.ts';

const KEY = newKey('one');
const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** A store with one token, and the keys of the look-up by its accessId. */
async function withToken() {
  const [url, keyPrefix] = [inject('redisUrl'), `accounts-${randomUUID()}`];
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const open = async (...ring: TestKey[]) => {
    const store = await openRedisStore(url, keyPrefix, ring);
    onTestFinished(() => store.close());
    return store;
  };
  const store = await open(KEY);
  await saveToken(store, SUBJECT);
  const accessId = accessIdOf(SUBJECT.unionId);
  const found = async () => [...(await store.accounts.lookUp([accessId])).values()];
  const keys = new Keys(keyPrefix);
  return { redis, open, store, found, key: keys.accessId(accessId), account: keys.account(accountId(SUBJECT.unionId)) };
}

/** Renews the subject's token with a claim, as the worker does. */
async function renewInBackground(store: TokenStore, fields: Readonly<Record<string, string>> = {}): Promise<void> {
  await makeDue(store, ID, systemClock.now());
  const { lease, record } = await eventually(async () => {
    const [claim] = (await store.dueQueue.claim(10, 1_000)).claims;
    return claim ?? Promise.reject(new Error('nothing is due'));
  });
  const token = { ...record.token, fields: { ...record.token.fields, ...fields } };
  const renewed = { ...record, token, generation: lease.generation };
  expect(await store.terminals.save(lease, renewed, systemClock.now() + 60_000)).toBe('saved');
}

describe('the look-up by accessId, after a background renewal', () => {
  test('has a directory entry under the current key', async () => {
    const { redis, store, found, account, open } = await withToken();
    const sealedBy = async () => {
      const entry = (await redis.hgetBuffer(account, 'd')) ?? Buffer.alloc(0);
      return keyIdOf(entry.subarray(RESERVED_LENGTH));
    };
    await renewInBackground(store);
    expect(await sealedBy()).toBe('one');
    expect(await found()).toEqual(['alice']);
    await renewInBackground(await open(newKey('two'), KEY));
    expect(await sealedBy()).toBe('two');
  });

  test('works again after its pointer was lost, and finds nothing once the account was erased', async () => {
    const { redis, store, found, key } = await withToken();
    await redis.del(key);
    expect(await found()).toEqual([]);
    await renewInBackground(store);
    expect(await found()).toEqual(['alice']);
    await store.accounts.erase('alice');
    expect(await redis.exists(key)).toBe(0);
  });

  test('finds the account by the new accessId only, when the vendor has changed it', async () => {
    const { redis, store, found, key } = await withToken();
    await renewInBackground(store, { accessId: '42' });
    expect(await found()).toEqual([]);
    expect(await redis.exists(key)).toBe(0);
    expect(await store.accounts.lookUp(['42'])).toEqual(new Map([['42', 'alice']]));
  });
});

test('the look-up finds the account by the new accessId only, when it was obtained without a token', async () => {
  const { redis, store, found, key } = await withToken();
  const answer = await store.terminals.acquire(subjectId({ ...SUBJECT, uniqueId: 'access-id' }), 1_000);
  if (answer.kind !== 'granted') throw new Error(answer.kind);
  await store.terminals.saveAccessId(answer.lease, { unionId: 'alice', accessId: '42', region: 'DE' });
  expect(await found()).toEqual([]);
  expect(await redis.exists(key)).toBe(0);
  expect(await store.accounts.lookUp(['42'])).toEqual(new Map([['42', 'alice']]));
});

describe('the look-up by accessId, after the next login', () => {
  test('works again after its pointer was lost', async () => {
    const { redis, store, found, key } = await withToken();
    await redis.del(key);
    expect(await found()).toEqual([]);
    await saveToken(store, SUBJECT);
    expect(await found()).toEqual(['alice']);
  });

  test('works again after no key opened the directory entry', async () => {
    const { open } = await withToken();
    const other = await open(newKey('two'));
    expect((await other.accounts.lookUp([accessIdOf('alice')])).size).toBe(0);
    await saveToken(other, SUBJECT);
    expect((await other.accounts.lookUp([accessIdOf('alice')])).get(accessIdOf('alice'))).toBe('alice');
  });
});
