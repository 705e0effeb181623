import { randomUUID } from 'node:crypto';
import { describe, expect, inject, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { keyIdOf } from '../../../../src/store/redis/records/token-cipher.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import type { TokenStore } from '../../../../src/token/ports.ts';
import { accountId, subjectId } from '../../../../src/token/subject.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { claimLeases } from '../../../support/due-claims.ts';
import { eventually } from '../../../support/eventually.ts';
import { accessIdOf, newKey, openRedisStore, saveToken, type TestKey } from '../../../support/filled-store.ts';
import { madeUpRecord, madeUpToken } from '../../../support/made-up-tokens.ts';
import { makeDue } from '../../../support/make-due.ts';
import { redisClient } from '../../../support/redis-client.ts';
import { monitorRedis } from '../../../support/redis-monitor.ts';
import { askRedis, startRedis } from '../../../support/redis-server.ts';
import { granted } from '../../../support/redis-state.ts';

const KEY = newKey('one');
const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
/** Commands that read fields of a hash without their names. */
const READS_MANY = new Set(['hrandfield', 'hgetall', 'hvals', 'hscan']);

/** A store with one token, and the keys of the look-up by its accessId. */
async function withToken() {
  const [url, keyPrefix] = [inject('redisUrl'), `accounts-${randomUUID()}`];
  const redis = redisClient(url);
  const open = (...ring: TestKey[]) => openRedisStore(url, keyPrefix, ring);
  const store = await open(KEY);
  await saveToken(store, SUBJECT);
  const accessId = accessIdOf(SUBJECT.unionId);
  const found = async () => [...(await store.accounts.lookUp([accessId])).values()];
  const keys = new Keys(keyPrefix);
  const account = keys.account(accountId(SUBJECT.unionId));
  return { url, redis, open, store, found, key: keys.accessId(accessId), account };
}

/** Renews the subject's token with a claim, as the worker does. */
async function renewInBackground(store: TokenStore, fields: Readonly<Record<string, string>> = {}): Promise<void> {
  await makeDue(store, ID, systemClock.now());
  const { lease, record } = await eventually(async () => {
    const [claim] = (await claimLeases(store, 10, 1_000)).claims;
    return claim ?? Promise.reject(new Error('nothing is due'));
  });
  const token = { ...record.token, fields: { ...record.token.fields, ...fields } };
  const renewed = { ...record, token, generation: lease.generation };
  expect(await store.terminals.save(lease, renewed, systemClock.now() + 60_000)).toBe('saved');
}

describe('the look-up by accessId, after a background renewal', () => {
  test('has a directory entry under the current key', async () => {
    const { redis, store, found, account, open } = await withToken();
    const sealedBy = async () => keyIdOf((await redis.hgetBuffer(account, 'd')) ?? Buffer.alloc(0));
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
});

test('a new accessId is logged once, and its pointer is written once, although the tokens of two apps alternate', async () => {
  const server = await startRedis();
  const { logger: log, lines } = captureLog('warn');
  const store = await openRedisStore(server.url, 'sdkt', [KEY], { log });
  await saveToken(store, SUBJECT);
  await renewInBackground(store, { accessId: '42' });
  const written = () =>
    askRedis(server, async (redis) => /cmdstat_set:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]);
  const before = Number(await written());
  for (const accessId of [accessIdOf('alice'), '42', accessIdOf('alice'), '42']) {
    await renewInBackground(store, { accessId });
    expect(await store.accounts.find('alice')).toMatchObject({ identity: { accessId } });
  }
  // `makeDue` takes a lease for each renewal, and so does the renewal.
  expect(Number(await written()) - before).toBe(8);
  expect(lines()).toMatchObject([{ msg: expect.stringContaining('another accessId') }]);
});

test('a support request asks Redis for at most 1,024 fields of an account', async () => {
  const { url, store, account } = await withToken();
  const asked = new Set<string>();
  await monitorRedis(url, ({ isOfScript, words: [command = '', ...args] }) => {
    if (args[0] === account && READS_MANY.has(command) && !isOfScript) asked.add([command, ...args].join(' '));
  });
  // On a busy machine, Redis may not answer in time.
  await eventually(() => store.accounts.find('alice'));
  await eventually(() => expect([...asked]).toEqual([`hrandfield ${account} 1024 WITHVALUES`]));
});

test('the pointers of an account are deleted when it has too many accessIds, and with the account', async () => {
  const { redis, store, key } = await withToken();
  const keyPrefix = key.split(':')[0] ?? '';
  const pointers = async () => (await redis.keys(`${keyPrefix}:*:i:*`)).length;
  for (let number = 1; number <= 65; number += 1) {
    const lease = await granted(store, ID);
    const record = { ...madeUpRecord(SUBJECT, madeUpToken(`${number}`)), generation: lease.generation };
    expect(await store.terminals.save(lease, record, systemClock.now() + 60_000)).toBe('saved');
    expect(await pointers()).toBe(Math.min(64, 1 + number));
  }
  expect(await redis.exists(key)).toBe(0);
  await store.accounts.erase('alice');
  expect(await pointers()).toBe(0);
});

describe('identifying an account', () => {
  test.each([false, true])(
    'stores a pointer that was lost, also after an erasure and a login: %s',
    async (isErased) => {
      const { redis, store, found, key } = await withToken();
      if (isErased) {
        await store.accounts.erase('alice');
        await saveToken(store, SUBJECT);
      }
      await redis.del(key);
      expect(await store.accounts.identify('alice')).toMatchObject({ accessId: accessIdOf('alice') });
      expect(await found()).toEqual(['alice']);
    },
  );

  test('fails when the pointer cannot be stored', async () => {
    const { redis, store, key } = await withToken();
    await redis.del(key);
    await redis.hset(key, 'not', 'a pointer');
    await expect(store.accounts.identify('alice')).rejects.toMatchObject({ code: 'store_unavailable' });
  });
});

test('an account that logs in before its erasure has ended keeps no accessId from before it', async () => {
  const { redis, store, found, account } = await withToken();
  const directory = (await redis.hgetBuffer(account, 'd')) ?? '';
  await store.accounts.erase('alice');
  // As if the erasure had not deleted the entry yet.
  await redis.hset(account, 'd', directory);
  const lease = await granted(store, ID);
  const record = { ...madeUpRecord(SUBJECT, madeUpToken('42')), generation: lease.generation };
  expect(await store.terminals.save(lease, record, systemClock.now() + 60_000)).toBe('saved');
  expect(await store.accounts.lookUp(['42'])).toEqual(new Map([['42', 'alice']]));
  await redis.set(new Keys(account.split(':')[0] ?? '').accessId(accessIdOf('alice')), accountId('alice'));
  expect(await found()).toEqual([]);
});

describe('the look-up by accessId, after the next login', () => {
  test.each(['', 'short', 'longer than the reserved bytes'])(
    'works again after somebody stored "%s"',
    async (entry) => {
      const { redis, store, found, account } = await withToken();
      await redis.hset(account, 'd', entry);
      expect(await found()).toEqual([]);
      await saveToken(store, SUBJECT);
      expect(await found()).toEqual(['alice']);
    },
  );

  test('works again after no key opened the directory entry', async () => {
    const { open } = await withToken();
    const other = await open(newKey('two'));
    expect((await other.accounts.lookUp([accessIdOf('alice')])).size).toBe(0);
    await saveToken(other, SUBJECT);
    expect((await other.accounts.lookUp([accessIdOf('alice')])).get(accessIdOf('alice'))).toBe('alice');
  });
});
