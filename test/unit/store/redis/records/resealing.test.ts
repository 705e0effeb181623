import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { connectRedis } from '../../../../../src/store/redis/connection/connection.ts';
import { Keys } from '../../../../../src/store/redis/keys.ts';
import { runScript } from '../../../../../src/store/redis/lua-scripts.ts';
import { DirectoryCodec, RecordCodec } from '../../../../../src/store/redis/records/record-codec.ts';
import { resealScript, sealedFieldsOf } from '../../../../../src/store/redis/records/resealing.ts';
import { type SealedField, TokenCipher } from '../../../../../src/store/redis/records/token-cipher.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { accountId, accountOf, subjectId, terminalOf } from '../../../../../src/token/subject.ts';
import { eventually } from '../../../../support/eventually.ts';
import {
  accessIdOf,
  newKey,
  openRedisStore,
  saveToken,
  sealedUnder,
  type TestKey,
} from '../../../../support/filled-store.ts';
import { startRedis } from '../../../../support/redis-server.ts';

const OLD = newKey('old');
const NEW = newKey('new');
const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const silent = { info: () => undefined, warn: () => undefined };

/** A Redis with one account under the old key, and the parts to inspect it. */
async function withOldToken(url = inject('redisUrl')) {
  const keyPrefix = `reseal-${randomUUID()}`;
  const redis = connectRedis(url, 'commands', silent);
  onTestFinished(() => redis.disconnect());
  const open = async (...ring: TestKey[]) => {
    const store = await openRedisStore(url, keyPrefix, ring);
    onTestFinished(() => store.close());
    return store;
  };
  const old = await open(OLD);
  const record = await saveToken(old, SUBJECT);
  const keys = new Keys(keyPrefix);
  const key = keys.account(accountOf(ID));
  const cipher = new TokenCipher([NEW, OLD]);
  const codecs = { keys, records: new RecordCodec(cipher), directory: new DirectoryCodec(cipher) };
  const texts = async () => sealedFieldsOf(codecs, accountOf(ID), await redis.hgetallBuffer(key));
  const textAt = async (field: string) => (await texts()).find((text) => text.field === field) as SealedField;
  const reseal = (text: SealedField) =>
    runScript(redis, resealScript(text, cipher.reseal(text) ?? Buffer.from('unreadable')));
  const count = () => sealedUnder(url, keyPrefix);
  return { redis, keys, key, open, old, record, textAt, reseal, count };
}

describe('a text sealed under an older key', () => {
  test('is sealed under the current key after a read, with the same content', async () => {
    const { open, record, count } = await withOldToken();
    expect(await count()).toEqual({ old: { a: 1, d: 1 } });
    const rotated = await open(NEW, OLD);
    expect((await rotated.terminals.read(ID)).record).toEqual(record);
    await eventually(async () => expect(await count()).toEqual({ new: { a: 1 }, old: { d: 1 } }));
    expect(await rotated.accounts.find('alice')).toMatchObject({ accessId: accessIdOf('alice'), records: [record] });
    await eventually(async () => expect(await count()).toEqual({ new: { a: 1, d: 1 } }));
    expect(await rotated.accounts.lookUp([accessIdOf('alice')])).toEqual(new Map([[accessIdOf('alice'), 'alice']]));
    const without = await open(NEW);
    expect((await without.terminals.read(ID)).record).toEqual(record);
    expect((await without.accounts.find('alice'))?.records).toEqual([record]);
    expect((await without.accounts.lookUp([accessIdOf('alice')])).size).toBe(1);
  });

  test('stays unchanged when its key is current or no key opens it', async () => {
    const { redis, key, open, old, record } = await withOldToken();
    const before = await redis.hgetallBuffer(key);
    expect((await old.terminals.read(ID)).record).toEqual(record);
    const foreign = await open(NEW);
    expect((await foreign.terminals.read(ID)).record).toBeUndefined();
    expect(await foreign.accounts.find('alice')).toBeUndefined();
    // These are sent after any script that the reads may have started.
    await Promise.all([old.health.ping(), foreign.health.ping()]);
    expect(await redis.hgetallBuffer(key)).toEqual(before);
  });

  test('is read without waiting until it is sealed again', async () => {
    const server = await startRedis();
    onTestFinished(() => server.stop());
    const { open, record, count } = await withOldToken(server.url);
    const rotated = await open(NEW, OLD);
    const admin = new Redis(server.url);
    onTestFinished(() => admin.disconnect());
    await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
    expect((await rotated.terminals.read(ID)).record).toEqual(record);
    expect(await count()).toEqual({ old: { a: 1, d: 1 } });
    await admin.call('CLIENT', 'UNPAUSE');
    await eventually(async () => expect(await count()).toMatchObject({ new: { a: 1 } }));
  });
});

describe('sealing again a text that was read some time ago', () => {
  const field = terminalOf(ID);

  test('does not replace a token that was saved in between', async () => {
    const { redis, key, open, textAt, reseal } = await withOldToken();
    const stale = await textAt(field);
    const rotated = await open(NEW, OLD);
    const newer = await saveToken(rotated, SUBJECT);
    const stored = await redis.hgetallBuffer(key);
    expect(await reseal(stale)).toBe(0);
    expect(await redis.hgetallBuffer(key)).toEqual(stored);
    expect((await rotated.terminals.read(ID)).record).toEqual(newer);
  });

  test('keeps the read flag that was set in between', async () => {
    const { open, old, record, textAt, reseal } = await withOldToken();
    const unread = await textAt(field);
    await old.terminals.markRead(ID, record.generation, systemClock.now());
    expect(await reseal(unread)).toBe(1);
    expect((await (await open(NEW)).terminals.read(ID)).record).toEqual({ ...record, read: true });
  });

  test('does not restore a token that was logged out or erased in between', async () => {
    const { redis, keys, key, old, textAt, reseal } = await withOldToken();
    const accessIdKey = keys.accessId(accessIdOf('alice'));
    const texts = [await textAt(field), await textAt('d')];
    await old.terminals.remove(ID);
    expect(await Promise.all(texts.slice(0, 1).map(reseal))).toEqual([0]);
    await old.accounts.erase('alice');
    expect(await Promise.all(texts.map(reseal))).toEqual([0, 0]);
    expect(await redis.hkeys(key)).toEqual(['e']);
    expect(await redis.exists(accessIdKey)).toBe(0);
  });

  test('during an erasure leaves nothing behind, and does not change when the erasure is forgotten', async () => {
    const { redis, keys, key, textAt, reseal } = await withOldToken();
    const account = accountId('alice');
    const erased = [key, keys.dueOf(account), keys.fences(account), keys.changesOf(account)];
    await runScript(redis, ['erase', erased, [account, 1_000_000, keys.announcements, '']]);
    const expiresAt = await redis.pexpiretime(key);
    expect(await reseal(await textAt('d'))).toBe(1);
    expect(await redis.pexpiretime(key)).toBe(expiresAt);
    await runScript(redis, ['forgetDirectory', [key], []]);
    expect(await redis.hkeys(key)).toEqual(['e']);
    expect(await redis.pexpiretime(key)).toBe(expiresAt);
  });
});
