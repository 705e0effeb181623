import { describe, expect, test } from 'vitest';
import { runScript } from '../../../../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import type { TokenRecord } from '../../../../../src/token/sdk-token.ts';
import { accountOf, subjectId, terminalOf } from '../../../../../src/token/subject.ts';
import { madeUpRecord } from '../../../../support/made-up-tokens.ts';
import { redisClient } from '../../../../support/redis-client.ts';
import { granted, openRedisState, restored, scriptCalls } from '../../../../support/redis-state.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const ACCOUNT = accountOf(ID);
/** The stream of changes keeps this many. */
const MAX_CHANGES = 256;

type State = Awaited<ReturnType<typeof openRedisState>>;

interface Header {
  readonly generation: number;
  readonly answeredAt: number;
  /** Eight hexadecimal digits. */
  readonly digest: string;
}

/** A record as Redis stores it. It is valid for a minute. */
function recordOf({ generation, answeredAt, digest }: Header, sealed = 'sealed'): Buffer {
  const header = Buffer.alloc(22);
  header.writeUInt8(1, 0);
  header.writeUIntBE(generation, 4, 6);
  header.writeUIntBE(systemClock.now() + 60_000, 10, 6);
  header.writeUIntBE(answeredAt, 16, 6);
  return Buffer.concat([header, Buffer.from(digest, 'hex'), Buffer.from(sealed)]);
}

/** Writes a record without a lease. */
async function save({ redis, keys }: State, header: Header, sealed?: string): Promise<readonly string[]> {
  const ofAccount = [keys.account(ACCOUNT), keys.dueOf(ACCOUNT), keys.failures(ACCOUNT), keys.changesOf(ACCOUNT)];
  const args = ['', header.generation, terminalOf(ID), ID, recordOf(header, sealed), 60_000, keys.announcements, 20];
  const scriptKeys = [keys.lease(ID), keys.fences(ACCOUNT), ...ofAccount];
  const answer = await runScript(redis, ['save', scriptKeys, [...args, 'DE', 'entry', '']]);
  return (answer as Buffer[]).map(String);
}

/** A login without a lease that was sent at `generation` and answered `lastedMs` later. */
function loginOf(generation: number, lastedMs: number): TokenRecord {
  return { ...madeUpRecord(SUBJECT), generation, answeredAt: generation + lastedMs };
}

const restore = ({ store }: State, record: TokenRecord) => store.terminals.restore(record, systemClock.now() + 60_000);

test('a script is executed until the last ms of its deadline, and refused 1 ms later', async () => {
  const { redis, keys } = await openRedisState();
  const latenesses = new Set<number>();
  const call = async (deadline: number) => {
    const beat = runScript(redis, ['beat', [keys.changes(0)], [keys.probe(0), 'beat', '']], deadline);
    const [isDone, time] = await beat.then(
      (answer) => [true, Number((answer as Buffer[])[0])] as const,
      (error: Error) => [false, Number(/^LATE (\d+)/.exec(error.message)?.[1])] as const,
    );
    expect(isDone).toBe(time <= deadline);
    latenesses.add(time - deadline);
  };
  for (let round = 0; round < 100 && !(latenesses.has(0) && latenesses.has(1)); round += 1) {
    const now = systemClock.now();
    await Promise.all(Array.from({ length: 100 }, (_, index) => call(now + (index % 10))));
  }
  expect([...latenesses]).toEqual(expect.arrayContaining([0, 1]));
});

test('a script does not take its deadline for one of its arguments', async () => {
  const { redis, keys } = await openRedisState();
  for (const deadline of ['', systemClock.now() + 10_000] as const) {
    expect(await runScript(redis, ['outlook', [keys.due(0)], [1_000, 2_000]], deadline)).toEqual([0, 0, 0, 0]);
  }
});

test.each(['', 'rubbish', '9e99'])('an erasure that somebody else has stored as "%s" is none', async (text) => {
  const { store, redis, keys } = await openRedisState();
  await redis.hset(keys.account(ACCOUNT), 'e', text);
  const lease = await granted(store, ID);
  expect(await store.terminals.save(lease, loginOf(lease.generation, 0), systemClock.now() + 60_000)).toBe('saved');
  expect(await store.terminals.remove(ID, 1)).toBeGreaterThan(lease.generation);
  expect(Math.abs((await store.accounts.erase(SUBJECT.unionId)) - systemClock.now())).toBeLessThan(1_000);
});

describe('a repeated write', () => {
  test('has the same generation and digest, whatever else is in its record', async () => {
    const state = await openRedisState();
    const generation = systemClock.now() - 5_000;
    const login = { generation, answeredAt: generation + 10, digest: '11223344' };
    const [outcome, entry, change] = await save(state, login);
    expect([outcome, entry]).toEqual(['saved', '']);
    expect(change).toMatch(/^\/\d+-0$/);
    // Each write seals the text with another IV.
    expect(await save(state, login, 'sealed again')).toEqual(['saved', 'entry', '']);
    expect(await save(state, { ...login, answeredAt: generation + 11 })).toEqual(['saved', 'entry', '']);
    expect(await state.redis.xlen(state.keys.changesOf(ACCOUNT))).toBe(1);
  });

  test.each(['ff223344', '112233ff'])('is none with the digest %s instead of 11223344', async (digest) => {
    const state = await openRedisState();
    const generation = systemClock.now() - 5_000;
    const login = { generation, answeredAt: generation, digest: '11223344' };
    await save(state, login);
    expect(await save(state, { ...login, digest })).toEqual(['superseded']);
  });

  test('is none with the same token and another generation', async () => {
    const state = await openRedisState();
    const generation = systemClock.now() - 5_000;
    const login = { generation, answeredAt: generation, digest: '11223344' };
    await save(state, login);
    expect(await save(state, { ...login, generation: generation - 1 })).toEqual(['superseded']);
  });
});

test('a login whose token was dropped stores no token', async () => {
  const { store, redis, keys } = await openRedisState();
  await store.terminals.drop(loginOf(systemClock.now() - 5_000, 100));
  expect(await redis.exists(keys.account(ACCOUNT), keys.dueOf(ACCOUNT))).toBe(0);
});

describe('of two logins of which the token of one was dropped or replaced,', () => {
  test('the later answer counts, whichever was dropped last', async () => {
    const state = await openRedisState();
    const sentAt = systemClock.now() - 5_000;
    await state.store.terminals.drop(loginOf(sentAt, 100));
    await state.store.terminals.drop(loginOf(sentAt + 1, 50));
    expect(await restore(state, loginOf(sentAt + 100, 5))).toBe('suspect');
  });

  test('each login that was sent before the dropped answer is suspect, not only the first', async () => {
    const state = await openRedisState();
    const sentAt = systemClock.now() - 5_000;
    await state.store.terminals.drop(loginOf(sentAt, 100));
    expect(await restore(state, loginOf(sentAt + 50, 1))).toBe('suspect');
    expect(await restore(state, loginOf(sentAt + 80, 1))).toBe('suspect');
    expect(await restore(state, loginOf(sentAt + 101, 1))).toBe('saved');
  });

  test('no login of another terminal is suspect, also if the token of the first was replaced or dropped', async () => {
    const state = await openRedisState();
    const sentAt = systemClock.now() - 5_000;
    expect(await restore(state, loginOf(sentAt, 100))).toBe('saved');
    expect(await restore(state, loginOf(sentAt + 50, 1))).toBe('suspect');
    const subject = { ...SUBJECT, uniqueId: 'tablet' };
    await state.store.terminals.drop(loginOf(sentAt + 60, 100));
    expect(await restore(state, { ...loginOf(sentAt + 80, 1), subject })).toBe('saved');
  });

  test('a kept token that was due before stays as long due', async () => {
    const state = await openRedisState();
    const { generation } = await restored(state.store, { subject: SUBJECT });
    const dueAt = systemClock.now() - 60_000;
    await state.setDue(ID, dueAt);
    await state.store.terminals.drop(loginOf(generation - 10, 20));
    expect((await state.store.terminals.read(ID)).record?.suspect).toBe(true);
    expect(await state.redis.zscore(state.keys.dueOf(ACCOUNT), ID)).toBe(String(dueAt));
  });

  test('the one of a session from before an erasure makes an overlapping later one suspect', async () => {
    const state = await openRedisState();
    const erasedAt = await state.store.accounts.erase(SUBJECT.unionId);
    const dropped = loginOf(erasedAt + 1, 100);
    const outcome = await state.store.terminals.restore(dropped, systemClock.now() + 60_000, erasedAt);
    expect(outcome).toBe('outdated');
    expect(await restore(state, loginOf(erasedAt + 50, 1))).toBe('suspect');
  });
});

test.each([0, 1, 2])('the fence whose latest number is the earliest becomes the floor (number %i)', async (kind) => {
  const { store, redis, keys } = await openRedisState();
  const fences = keys.fences(ACCOUNT);
  const at = systemClock.now() - 1_000;
  const withNumber = (instant: number) => [0, 1, 2].map((index) => (index === kind ? instant : index)).join(' ');
  await redis.hset(fences, 'late', withNumber(at + 1));
  for (let number = 2; number <= 63; number += 1) await redis.hset(fences, `late-${number}`, withNumber(at + number));
  const early = [0, 1, 2].map((index) => at - (index === kind ? 100 : 1)).join(' ');
  await redis.hset(fences, 'early', early);
  await store.terminals.remove(ID);
  expect(await redis.hmget(fences, 'early', 'floor', 'late')).toEqual([null, early, withNumber(at + 1)]);
});

test.each(['logout', 'erasure'])('the first %s of an account is as late as the clock of Redis', async (kind) => {
  const state = await openRedisState();
  const { store } = state;
  const before = systemClock.now() - 100;
  const outdated = kind === 'logout' ? await store.terminals.remove(ID) : await store.accounts.erase(SUBJECT.unionId);
  expect(outdated).toBeGreaterThan(before);
  expect(await restore(state, loginOf(before, 0))).toBe('outdated');
});

test('a logout and an erasure are announced with their own times, also if those are ahead of the clock', async () => {
  const { store, redis, keys } = await openRedisState();
  const announced: string[] = [];
  const subscriber = redisClient();
  subscriber.on('message', (_, text: string) => void announced.push(text.split(' ').slice(0, 3).join(' ')));
  await subscriber.subscribe(keys.announcements);
  const at = systemClock.now() + 60_000;
  await redis.hset(keys.fences(ACCOUNT), 'floor', `${at} 0 0`);
  expect(await store.terminals.remove(ID)).toBe(at + 1);
  expect(await store.accounts.erase(SUBJECT.unionId)).toBe(at + 2);
  await expect.poll(() => announced).toEqual([`removed ${ID} ${at + 1}`, `erased ${ACCOUNT} ${at + 2}`]);
});

describe('the stream of changes', () => {
  test('names each change and the one before it, and keeps the last 256', async () => {
    const { redis, keys, store } = await openRedisState();
    const changes = keys.changesOf(ACCOUNT);
    const announced: string[] = [];
    const subscriber = redisClient();
    subscriber.on('message', (_, text: string) => void announced.push(text.split(' ').at(-1) ?? ''));
    await subscriber.subscribe(keys.announcements);
    const filling = redis.pipeline();
    for (let number = 1; number <= MAX_CHANGES - 1; number += 1) filling.xadd(changes, `${number}-0`, '', '');
    await filling.exec();
    await restored(store, { subject: SUBJECT });
    expect(await redis.xlen(changes)).toBe(MAX_CHANGES);
    await store.terminals.remove(ID);
    await store.accounts.erase(SUBJECT.unionId);
    const ids = (await redis.xrange(changes, '-', '+')).map(([id]) => id);
    expect(ids).toHaveLength(MAX_CHANGES);
    expect(ids[0]).toBe('3-0');
    const [saved, removed, erased] = ids.slice(-3);
    await expect.poll(() => announced).toHaveLength(3);
    expect(announced).toEqual([`255-0/${saved}`, `${saved}/${removed}`, `${removed}/${erased}`]);
  });

  test('has each change in the answer to its caller', async () => {
    const state = await openRedisState();
    const { redis, keys } = state;
    const lastOf = async () => (await redis.xrevrange(keys.changesOf(ACCOUNT), '+', '-', 'COUNT', 1))[0]?.[0];
    const generation = systemClock.now();
    const [, , saved] = await save(state, { generation, answeredAt: generation, digest: '11223344' });
    const first = await lastOf();
    expect(saved).toBe(`/${first}`);
    const calls = scriptCalls(keys, ID);
    const removed = await runScript(redis, calls.remove());
    const second = await lastOf();
    expect(String((removed as Buffer[])[1])).toBe(`${first}/${second}`);
    const erased = await runScript(redis, calls.erase());
    expect(String((erased as Buffer[])[2])).toBe(`${second}/${await lastOf()}`);
  });

  test.each<[state: string, known: string, first: number, count: number]>([
    ['same', '', 1, 0],
    ['same', '', 1, 3],
    ['same', '2-0', 1, 3],
    ['same', '3-0', 1, 3],
    ['lost', '2-0', 1, 0],
    ['lost', '2-0', 3, 1],
    ['lost', '2-0', 3, MAX_CHANGES - 1],
    ['same', '2-0', 3, MAX_CHANGES],
    ['went_back', '4-0', 1, 3],
    ['went_back', '1-1', 1, MAX_CHANGES],
  ])('is %s for a replica that knows "%s", if it starts with %i-0 and has %i changes', async (...example) => {
    const [expected, known, first, count] = example;
    const { redis, keys } = await openRedisState();
    const changes = keys.changes(0);
    const filling = redis.pipeline();
    for (let number = 0; number < count; number += 1) filling.xadd(changes, `${first + number}-0`, '', '');
    await filling.exec();
    const beat = await runScript(redis, ['beat', [changes], [keys.probe(0), 'beat', known]]);
    const [time, last, state] = (beat as Buffer[]).map(String);
    expect([last, state]).toEqual([count === 0 ? '' : `${first + count - 1}-0`, expected]);
    expect(Math.abs(Number(time) - systemClock.now())).toBeLessThan(1_000);
  });
});
