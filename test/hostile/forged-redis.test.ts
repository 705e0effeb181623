import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { describe, expect, inject, test } from 'vitest';
import { Keys } from '../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS } from '../../src/store/redis/records/record-codec.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import { accountId, accountOf, type Subject, subjectId, terminalOf } from '../../src/token/subject.ts';
import { brokerParts } from '../support/broker-parts.ts';
import { claimLeases, takeLease } from '../support/due-claims.ts';
import { eventually } from '../support/eventually.ts';
import { watchedStore } from '../support/failing-store.ts';
import { accessIdOf, newKey, openRedisStore, saveToken, type TestKey } from '../support/filled-store.ts';
import { redisClient } from '../support/redis-client.ts';
import { startRedis } from '../support/redis-server.ts';
import { principal, startApp, UNION_ID } from '../unit/http/running-app.ts';
import { asBrokerError } from './broker-errors.ts';

/** `npm run fuzz` makes 20,000 for each of the two tests. */
const MUTATIONS = Number(process.env['FUZZ_REDIS_RECORDS'] ?? 300);
const SUBJECT: Subject = { app: 'default', unionId: UNION_ID, uniqueId: 'phone' };
const OTHER: Subject = { ...SUBJECT, uniqueId: 'tablet' };
const ID = subjectId(SUBJECT);
const REQUEST = { subject: SUBJECT, region: 'CN', sessionIssuedAt: undefined };
/** The largest generation that a record has room for. */
const LARGEST = 2 ** 48 - 1;
/** Longer than an answer of Redis may be. */
const LONG_BYTES = 3 * 2 ** 20;

let keys: Keys;
let redis: Redis;

async function open(
  encryptionKeys: readonly TestKey[] = [newKey('k1')],
  url = inject('redisUrl'),
): Promise<TokenStore> {
  const keyPrefix = `forged-${randomUUID()}`;
  keys = new Keys(keyPrefix);
  redis = redisClient(url);
  const store = await openRedisStore(url, keyPrefix, encryptionKeys);
  await eventually(() => store.announcements.completeSince() !== undefined);
  return store;
}

/** Publishes the announcement, and waits until it has been received. */
async function announce(store: TokenStore, text: string): Promise<void> {
  const marker = subjectId({ ...SUBJECT, uniqueId: randomUUID() });
  const received = new Promise<void>((resolve) => {
    store.announcements.subscribe((heard) => 'id' in heard && heard.id === marker && resolve());
  });
  await redis.publish(keys.announcements, text);
  await redis.publish(keys.announcements, `removed ${marker} 1 /1-1`);
  await received;
}

describe('a forged announcement', () => {
  test.each([
    ['saved', 2 ** 48],
    ['saved', systemClock.now() + 3_600_000],
    ['removed', 2 ** 48],
    ['erased', 2 ** 48],
  ])('keeps a token out of memory for at most one read: %s %i', async (kind, generation) => {
    const store = await open();
    const watched = watchedStore(store);
    const { broker, vendor } = brokerParts({ store: watched.store });
    const readsOfStore = () => watched.calls('read');
    await saveToken(store, SUBJECT);
    for (let read = 0; read < 2; read += 1) await broker.read(REQUEST);
    expect(readsOfStore()).toBe(1);
    await announce(store, `${kind} ${kind === 'erased' ? accountOf(ID) : ID} ${generation} /1-1`);
    // The store must be asked in a later millisecond than the announcement arrived in.
    await sleep(5);
    for (let read = 0; read < 3; read += 1) await broker.read(REQUEST);
    // A generation that no record has room for is not believed at all.
    expect(readsOfStore()).toBe(generation > LARGEST ? 1 : 2);
    expect(vendor.requests).toHaveLength(0);
  });

  test.each(['removed', 'erased'])('is taken for one that Redis has lost, and has its effect: %s', async (kind) => {
    const store = await open();
    const { broker, vendor } = brokerParts({ store });
    await saveToken(store, SUBJECT);
    await broker.read(REQUEST);
    const generation = systemClock.now() + 1_000;
    await announce(store, `${kind} ${kind === 'erased' ? accountOf(ID) : ID} ${generation} /1-1`);
    await sleep(5);
    const read = broker.read({ ...REQUEST, sessionIssuedAt: systemClock.now() });
    if (kind === 'removed') await expect(read).resolves.toMatchObject({ body: expect.stringContaining('token-1') });
    else await expect(read).rejects.toMatchObject({ code: 'session_invalid' });
    expect(vendor.requests).toHaveLength(kind === 'removed' ? 1 : 0);
    const newer = { ...REQUEST, sessionIssuedAt: generation + 1 };
    await expect(broker.read(newer)).resolves.toMatchObject({ body: expect.stringContaining('token-1') });
  });

  test('with a failure code that does not exist ends no request', async () => {
    const store = await open();
    const { broker } = brokerParts({ store });
    const lease = await takeLease(store, ID, 10_000);
    const reading = broker.read(REQUEST);
    // By now the read waits for the announcement of the holder.
    await sleep(150);
    for (const code of ['constructor', 'unheard_of']) await announce(store, `failed ${ID} 1 ${code},,`);
    await store.terminals.release(lease, undefined);
    await expect(reading).resolves.toMatchObject({ body: expect.stringContaining('token-1') });
  });
});

describe('a forged number in Redis', () => {
  test('with a failure code that does not exist counts as vendor_unavailable', async () => {
    const store = await open();
    const { broker } = brokerParts({ store });
    await redis.hset(keys.failures(accountOf(ID)), { until: systemClock.now() + 9_000, code: 'constructor' });
    await expect(broker.read(REQUEST)).rejects.toMatchObject({ code: 'vendor_unavailable' });
  });

  test.each([
    ['fence', () => redis.hset(keys.fences(accountOf(ID)), terminalOf(ID), '1e300')],
    ['floor', () => redis.hset(keys.fences(accountOf(ID)), 'floor', `${LARGEST}`)],
    ['cool-down', () => redis.hset(keys.failures(accountOf(ID)), { until: '1e300', code: 'vendor_timeout' })],
    ['record', () => redis.hset(keys.account(accountOf(ID)), terminalOf(ID), Buffer.alloc(40, 0xff))],
    ['short record', () => redis.hset(keys.account(accountOf(ID)), terminalOf(ID), 'short')],
  ])('stops no login: %s', async (_place, forge) => {
    const store = await open();
    const { broker } = brokerParts({ store });
    await forge();
    await expect(broker.read(REQUEST)).resolves.toMatchObject({ body: expect.stringContaining('token-1') });
    const { record } = await store.terminals.read(ID);
    expect(Math.abs((record?.generation ?? 0) - systemClock.now())).toBeLessThan(60_000);
  });

  test('in the due queue does not stop the claims of its shard', async () => {
    const store = await open();
    await saveToken(store, SUBJECT);
    const due = keys.dueOf(accountOf(ID));
    const foreign = Array.from({ length: 50 }, (_, number) => subjectId({ ...SUBJECT, unionId: `other-${number}` }));
    const forged = foreign.filter((id) => keys.dueOf(accountOf(id)) !== due);
    for (const member of ['x', Buffer.alloc(44, 0xff), Buffer.alloc(LONG_BYTES), ...forged])
      await redis.zadd(due, 1, member);
    await redis.zadd(due, 2, ID);
    const claimed = await eventually(async () => {
      const { claims } = await claimLeases(store, 1_600, 10_000);
      expect(claims).not.toEqual([]);
      return claims;
    });
    expect(claimed.map(({ lease }) => lease.id)).toEqual([ID]);
    expect(await redis.zrange(due, '0', '-1')).toEqual([ID]);
  });
});

describe('a value of 3 MiB in Redis', () => {
  const long = Buffer.alloc(LONG_BYTES, '1');
  const account = accountOf(ID);

  test.each([
    ['record', () => redis.hset(keys.account(account), terminalOf(ID), long)],
    ['directory', () => redis.hset(keys.account(account), ACCOUNT_FIELDS.directory, long)],
    ['country', () => redis.hset(keys.account(account), ACCOUNT_FIELDS.region, long)],
    ['time of an erasure', () => redis.hset(keys.account(account), ACCOUNT_FIELDS.erasedAt, long)],
    ['cool-down', () => redis.hset(keys.failures(account), { until: systemClock.now() + 60_000, code: long })],
  ])('does not stop a login or an erasure: %s', async (_place, forge) => {
    const store = await open();
    await forge();
    await store.terminals.acquire(ID, 10_000);
    await store.accounts.erase(UNION_ID);
    expect(await redis.hkeys(keys.account(account))).toEqual([ACCOUNT_FIELDS.erasedAt]);
    expect((await store.terminals.read(ID)).erasedAt).toBeGreaterThan(0);
  });

  test.each([
    ['directory', ACCOUNT_FIELDS.directory],
    ['record', terminalOf(ID)],
    ['time of an erasure', ACCOUNT_FIELDS.erasedAt],
  ])('is gone after the next login: %s', async (_place, field) => {
    const store = await open();
    const { broker } = brokerParts({ store });
    await redis.hset(keys.account(account), field, long);
    await expect(broker.read(REQUEST)).resolves.toMatchObject({ body: expect.stringContaining('token-1') });
    await eventually(async () => expect(await redis.hstrlen(keys.account(account), field)).toBeLessThan(LONG_BYTES));
    await expect(store.terminals.read(ID)).resolves.toMatchObject({ record: { subject: SUBJECT } });
  });
});

interface Change {
  readonly kind: 'flip' | 'cut' | 'extend' | 'replace' | 'number';
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly number: string;
}

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('flip', 'cut', 'extend', 'replace', 'number'),
  at: fc.nat(),
  bytes: fc.uint8Array({ maxLength: 60 }),
  number: fc.constantFrom('', '-1', '0', '1.5', 'nan', 'inf', '-inf', '1e300', '9007199254740993', `${LARGEST}`, 'x'),
});

function changed(bytes: Buffer, { kind, at, bytes: others, number }: Change): Buffer {
  const copy = Buffer.from(bytes);
  if (kind === 'flip' && copy.length > 0)
    copy.writeUInt8(copy.readUInt8(at % copy.length) ^ (1 << (at % 8)), at % copy.length);
  if (kind === 'cut') return copy.subarray(0, at % (copy.length + 1));
  if (kind === 'extend') return Buffer.concat([copy, others]);
  if (kind === 'replace') return Buffer.from(others);
  return kind === 'number' ? Buffer.from(number) : copy;
}

/** Changes one value that a broker has stored, or replaces a key by one of another type. */
async function mutate(place: number, one: Change): Promise<void> {
  const account = accountId(UNION_ID);
  const hashes = [keys.account(account), keys.fences(account), keys.failures(accountOf(ID))];
  const strings = [keys.lease(ID), keys.accessId(accessIdOf(UNION_ID)), keys.rate(`logins ${account}`)];
  const hash = hashes[place % (hashes.length + 2)];
  if (hash !== undefined) {
    const fields = Object.entries(await redis.hgetallBuffer(hash));
    const [field = terminalOf(ID), value = Buffer.from('1')] = fields[one.at % Math.max(1, fields.length)] ?? [];
    await redis.hset(hash, field, changed(value, one));
    return;
  }
  const text = strings[one.at % strings.length] as string;
  if (place % 2 === 0) await redis.set(text, changed(Buffer.from(String(account)), one));
  else await redis.set([...hashes, keys.dueOf(account), keys.loginQueue][one.at % 5] as string, Buffer.from(one.bytes));
}

async function mutatedAnnouncement(place: number, one: Change): Promise<Buffer> {
  const now = systemClock.now();
  const ofTerminal = ['saved', 'suspected', 'removed'].map((kind) => `${kind} ${ID} ${now} /1-1`);
  const texts = [...ofTerminal, `failed ${ID} ${now} vendor_timeout,1,10016`, `erased ${accountOf(ID)} ${now} /1-1`];
  const text = texts[place % texts.length] ?? '';
  return changed(Buffer.from(text), one);
}

test.each([
  ['sealed', [newKey('k1')]],
  ['in the clear', []],
])(
  `mutated records and announcements cause no crash and no internal error: %s`,
  async (_name, encryptionKeys) => {
    // A Redis of its own, emptied before each run. To find the keys among those of all tests takes most of the time.
    const server = await startRedis();
    const store = await open(encryptionKeys, server.url);
    const { broker, accounts } = brokerParts({ store, perHour: 60_000 });
    const sessions = { verify: async () => principal({ region: 'CN', issuedAt: systemClock.now() + 60_000 }) };
    const { origin } = await startApp({ tokens: broker, accounts, sessions });
    const seen = new Map<number, number>();
    const send = async (method: string, uniqueId: string) => {
      const headers = { authorization: 'Bearer session' };
      const url = `${origin}/sdk-token?uniqueId=${uniqueId}`;
      const response = await fetch(url, { method, headers });
      const text = await response.text();
      seen.set(response.status, (seen.get(response.status) ?? 0) + 1);
      if (response.status < 400) return response;
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(JSON.parse(text).code, text).not.toBe('internal');
      return response;
    };
    const runs = fc.asyncProperty(fc.nat({ max: 1_000 }), change, change, async (place, stored, announced) => {
      await redis.flushdb();
      // It may fail: a renewal of the former run may still raise the fence.
      await saveToken(store, OTHER).catch(() => undefined);
      await saveToken(store, SUBJECT).catch(() => undefined);
      await mutate(place, stored);
      await redis.publish(keys.announcements, await mutatedAnnouncement(place, announced));
      const etag = (await send('GET', SUBJECT.uniqueId)).headers.get('etag');
      await send('GET', 'new-terminal');
      if (etag) await send('GET', `${SUBJECT.uniqueId}&refused=${etag.slice(1, -1)}`);
      await store.accounts.find(UNION_ID).catch(asBrokerError);
      await store.accounts.lookUp([accessIdOf(UNION_ID)]).catch(asBrokerError);
      await claimLeases(store, 64, 50).catch(asBrokerError);
      if (place % 3 === 0) await send('DELETE', SUBJECT.uniqueId);
      if (place % 10 === 0) await accounts.erase(UNION_ID).catch(asBrokerError);
    });
    await fc.assert(runs, { numRuns: MUTATIONS, seed: 13, endOnFailure: true });
    // Some of the four requests are answered with a token. After a forged erasure, memory refuses sessions for 60 s.
    expect(seen.get(200)).toBeGreaterThan(MUTATIONS / 10);
  },
  30_000 + 300 * MUTATIONS,
);
