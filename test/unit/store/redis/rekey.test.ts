import { randomUUID } from 'node:crypto';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { connectRedis } from '../../../../src/store/redis/connection/connection.ts';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { resealScript, runScript } from '../../../../src/store/redis/lua-scripts.ts';
import { DirectoryCodec, RecordCodec } from '../../../../src/store/redis/records/record-codec.ts';
import { type SealedField, TokenCipher } from '../../../../src/store/redis/records/token-cipher.ts';
import { Rekey, type RekeyTotals } from '../../../../src/store/redis/rekey.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { accountOf, type Subject, subjectId, terminalOf } from '../../../../src/token/subject.ts';
import { startFaultProxy } from '../../../support/fault-proxy.ts';
import {
  accessIdOf,
  fillStore,
  newKey,
  openRedisStore,
  saveToken,
  sealedUnder,
  type TestKey,
} from '../../../support/filled-store.ts';
import { startRedisCluster } from '../../../support/redis-cluster.ts';
import { startRedis } from '../../../support/redis-server.ts';
import { scriptCalls } from '../../../support/redis-state.ts';

const OLD = newKey('old');
const NEW = newKey('new');
const STRANGE = newKey('strange');
const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const silent = { info: () => undefined, warn: () => undefined };
const never = new AbortController().signal;

function subjectsOf(name: string, accounts: number, terminals: number): Subject[] {
  return Array.from({ length: accounts * terminals }, (_, number) => ({
    app: 'default',
    unionId: `${name}-${number % accounts}`,
    uniqueId: `phone-${Math.floor(number / accounts)}`,
  }));
}

function newStore(url = inject('redisUrl')) {
  const keyPrefix = `rekey-${randomUUID()}`;
  const fill = async (ring: readonly TestKey[], subjects: readonly Subject[]) => {
    const store = await openRedisStore(url, keyPrefix, ring);
    return { store, records: await fillStore(store, subjects) };
  };
  const walk = async (ring: readonly TestKey[], ended = never, report: Parameters<Rekey['walk']>[1] = () => {}) => {
    const rekey = new Rekey({ url, keyPrefix, encryptionKeys: ring, log: silent });
    onTestFinished(() => rekey.close());
    return rekey.walk(ended, report);
  };
  return { url, keyPrefix, fill, walk, count: () => sealedUnder(url, keyPrefix) };
}

function totals(some: Partial<RekeyTotals>): RekeyTotals {
  return { lookedAt: 0, resealed: 0, current: 0, changed: 0, unreadable: new Map(), ...some };
}

describe('a walk', () => {
  test('seals everything under the current key, and a second walk finds nothing to do', async () => {
    const { fill, walk, count } = newStore();
    const { records } = await fill([OLD], subjectsOf('alice', 150, 3));
    await fill([NEW, OLD], subjectsOf('bob', 20, 1));
    expect(await count()).toEqual({ old: { a: 450, d: 150 }, new: { a: 20, d: 20 } });
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 640, resealed: 600, current: 40 }));
    expect(await count()).toEqual({ new: { a: 470, d: 170 } });
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 640, current: 640 }));
    const { store } = await fill([NEW], []);
    expect((await store.accounts.find('alice-7')).records).toEqual(
      expect.arrayContaining(records.filter(({ subject }) => subject.unionId === 'alice-7')),
    );
  });

  test('leaves texts that no key opens, and reports the reason', async () => {
    const { fill, walk, count } = newStore();
    await fill([STRANGE], subjectsOf('eve', 2, 1));
    await fill([], subjectsOf('mallory', 1, 2));
    await fill([{ ...newKey('new') }], subjectsOf('trent', 1, 1));
    await fill([OLD], subjectsOf('alice', 1, 1));
    const before = await count();
    const unreadable = new Map([
      ['sealed under key strange, which is not among them', 4],
      ['in the clear', 3],
      ['damaged, or sealed under another key that was called new', 2],
    ]);
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 11, resealed: 2, unreadable }));
    expect((await count())['strange']).toEqual(before['strange']);
    expect((await count())['']).toEqual(before['']);
  });

  test('visits every master of a cluster', async () => {
    const { url, nodes, close } = await startRedisCluster();
    onTestFinished(close);
    const { keyPrefix, fill, walk } = newStore(url);
    await fill([OLD], subjectsOf('alice', 100, 1));
    expect(await walk([NEW, OLD])).toEqual(totals({ lookedAt: 200, resealed: 200 }));
    const masters = await Promise.all(nodes.slice(0, 3).map((node) => sealedUnder(node.url, keyPrefix)));
    expect(masters.map((sealed) => Object.keys(sealed))).toEqual([['new'], ['new'], ['new']]);
  });

  test('fails when Redis restarts and keeps its work, and the next walk does the rest', async () => {
    const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'no'] });
    const { fill, walk, count } = newStore(server.url);
    const { store } = await fill([OLD], subjectsOf('alice', 1_000, 1));
    await store.close();
    let restart: Promise<void> | undefined;
    const failed = walk([NEW, OLD], never, ({ lookedAt }) => {
      if (lookedAt > 600) restart ??= server.kill().then(() => server.restart());
    });
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable' });
    await restart;
    const rest = await walk([NEW, OLD]);
    expect(rest).toEqual(totals({ lookedAt: 2_000, resealed: rest.resealed, current: 2_000 - rest.resealed }));
    expect(rest.current).toBeGreaterThan(0);
    expect(await count()).toEqual({ new: { a: 1_000, d: 1_000 } });
  });

  test('fails after a lost connection, because another Redis may answer its SCAN now, also if each command succeeds', async () => {
    const server = await startRedis();
    const proxy = await startFaultProxy(server.port);
    const { keyPrefix, fill } = newStore(server.url);
    await fill([OLD], subjectsOf('alice', 1_000, 1));
    const url = `redis://127.0.0.1:${proxy.port}`;
    const rekey = new Rekey({ url, keyPrefix, encryptionKeys: [NEW, OLD], log: silent });
    onTestFinished(() => rekey.close());
    let isCut = false;
    // ioredis sends the commands in flight once more, over a new connection.
    const failed = rekey.walk(never, () => {
      if (isCut) return;
      isCut = true;
      proxy.set({ kind: 'hang' });
      setTimeout(() => proxy.set({ kind: 'none' }), 50);
    });
    const cause = expect.objectContaining({ message: expect.stringContaining('the connection was lost') });
    await expect(failed).rejects.toMatchObject({ code: 'store_unavailable', cause });
    expect(await rekey.walk(never, () => undefined)).toMatchObject({ lookedAt: 2_000 });
  });
});

/** A Redis with one account under the old key, and the parts to inspect it. */
async function withOldToken(url = inject('redisUrl')) {
  const keyPrefix = `rekey-${randomUUID()}`;
  const redis = connectRedis(url, 'commands', silent);
  onTestFinished(() => redis.disconnect());
  const open = (...ring: TestKey[]) => openRedisStore(url, keyPrefix, ring);
  const old = await open(OLD);
  const record = await saveToken(old, SUBJECT);
  const keys = new Keys(keyPrefix);
  const key = keys.account(accountOf(ID));
  const cipher = new TokenCipher([NEW, OLD]);
  const textAt = async (field: string) => {
    const bytes = (await redis.hgetBuffer(key, field)) as Buffer;
    const text =
      field === 'd'
        ? new DirectoryCodec(cipher).sealedField(bytes, key)
        : new RecordCodec(cipher).sealedField(bytes, ID, key);
    return text as SealedField;
  };
  const reseal = (text: SealedField) => {
    const plain = cipher.open(text.sealed, text.additionalData) ?? Buffer.from('unreadable');
    return runScript(redis, resealScript(text, cipher.seal(plain, text.additionalData)));
  };
  const count = () => sealedUnder(url, keyPrefix);
  return { redis, keys, key, open, old, record, textAt, reseal, count };
}

describe('a text sealed under an older key', () => {
  test('is read with the same content and stays as it is, until the next renewal seals it under the current key', async () => {
    const { redis, key, open, record, count } = await withOldToken();
    const before = await redis.hgetallBuffer(key);
    const rotated = await open(NEW, OLD);
    expect((await rotated.terminals.read(ID)).record).toEqual(record);
    expect(await rotated.accounts.find('alice')).toMatchObject({
      identity: { accessId: accessIdOf('alice') },
      records: [record],
    });
    expect(await rotated.accounts.lookUp([accessIdOf('alice')])).toEqual(new Map([[accessIdOf('alice'), 'alice']]));
    // This is sent after any script that the reads may have started.
    await rotated.health.ping();
    expect(await redis.hgetallBuffer(key)).toEqual(before);
    const renewed = await saveToken(rotated, SUBJECT);
    expect(await count()).toEqual({ new: { a: 1, d: 1 } });
    const without = await open(NEW);
    expect((await without.terminals.read(ID)).record).toEqual(renewed);
    expect((await without.accounts.lookUp([accessIdOf('alice')])).size).toBe(1);
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
    await runScript(redis, scriptCalls(keys, ID).erase());
    const expiresAt = await redis.pexpiretime(key);
    expect(await reseal(await textAt('d'))).toBe(1);
    expect(await redis.pexpiretime(key)).toBe(expiresAt);
    await runScript(redis, ['forgetDirectory', [key], []]);
    expect(await redis.hkeys(key)).toEqual(['e']);
    expect(await redis.pexpiretime(key)).toBe(expiresAt);
  });
});
