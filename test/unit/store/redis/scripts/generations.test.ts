import { describe, expect, test } from 'vitest';
import { runScript } from '../../../../../src/store/redis/lua-scripts.ts';
import { ACCOUNT_FIELDS } from '../../../../../src/store/redis/records/record-codec.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { accountOf, subjectId, terminalOf } from '../../../../../src/token/subject.ts';
import { madeUpRecord } from '../../../../support/made-up-tokens.ts';
import { granted, openRedisState, restored, scriptCalls } from '../../../../support/redis-state.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const HOUR_MS = 3_600_000;

type State = Awaited<ReturnType<typeof openRedisState>>;

/** Stores one of the three numbers of a fence. */
const inFence =
  (index: number, field: string = terminalOf(ID)) =>
  ({ redis, keys }: State, at: number) =>
    redis.hset(keys.fences(accountOf(ID)), field, [0, 1, 2].map((other) => (other === index ? at : 0)).join(' '));

const FENCES = {
  'grant in a fence': inFence(0),
  'logout in a fence': inFence(1),
  'dropped answer in a fence': inFence(2),
  'grant in the floor': inFence(0, 'floor'),
  'logout in the floor': inFence(1, 'floor'),
  'dropped answer in the floor': inFence(2, 'floor'),
};

/** Times that are later than the clock of Redis, as after the clock was set back. */
const STORED: Readonly<Record<string, (state: State, at: number) => Promise<unknown>>> = {
  ...FENCES,
  token: ({ store }, generation) => restored(store, { subject: SUBJECT, generation, answeredAt: generation - 30_000 }),
  answer: ({ store }, answeredAt) =>
    restored(store, { subject: SUBJECT, generation: systemClock.now() + 5_000, answeredAt }),
  erasure: ({ redis, keys }, at) => redis.hset(keys.account(accountOf(ID)), 'e', at),
};

async function stateWith(kind: string): Promise<State & { readonly storedAt: number }> {
  const state = await openRedisState();
  const storedAt = systemClock.now() + HOUR_MS;
  await restored(state.store, { subject: SUBJECT });
  await STORED[kind]?.(state, storedAt);
  return { ...state, storedAt };
}

describe('a generation is larger than all before, even after the clock of Redis was set back:', () => {
  test.each([...Object.keys(FENCES), 'token', 'answer', 'erasure'])(
    'that of a lease, than the stored %s',
    async (kind) => {
      const { store, storedAt } = await stateWith(kind);
      expect((await granted(store, ID)).generation).toBe(storedAt + 1);
    },
  );

  test.each([...Object.keys(FENCES), 'token'])('that of a logout, than the stored %s', async (kind) => {
    const { store, storedAt } = await stateWith(kind);
    expect(await store.terminals.remove(ID)).toBe(storedAt + 1);
  });

  test.each([...Object.keys(FENCES), 'token', 'erasure'])('that of an erasure, than the stored %s', async (kind) => {
    const { store, storedAt } = await stateWith(kind);
    expect(await store.accounts.erase(SUBJECT.unionId)).toBe(storedAt + 1);
  });
});

test('that of an erasure is the time of now, whatever the bytes of the directory entry look like', async () => {
  const { store, redis, keys } = await openRedisState();
  await restored(store, { subject: SUBJECT });
  // Where a record has its generation, the encrypted entry may have any bytes: here a time in half a year.
  const entry = Buffer.alloc(80);
  entry.writeUIntBE(systemClock.now() + 180 * 86_400_000, 4, 6);
  await redis.hset(keys.account(accountOf(ID)), ACCOUNT_FIELDS.directory, entry);
  expect(Math.abs((await store.accounts.erase(SUBJECT.unionId)) - systemClock.now())).toBeLessThan(60_000);
});

describe('the fence', () => {
  test.each<[change: string, (state: State) => Promise<unknown>]>([
    ['lease', ({ store }) => granted(store, ID)],
    ['logout', ({ store }) => store.terminals.remove(ID)],
  ])('of a %s outdates no login of another terminal', async (_change, change) => {
    const state = await openRedisState();
    const tablet = { ...SUBJECT, uniqueId: 'tablet' };
    const lease = await granted(state.store, subjectId(tablet));
    // So the next generation of the phone is later than the one of the tablet.
    await restored(state.store, { subject: SUBJECT, generation: systemClock.now() + 10_000 });
    await change(state);
    const record = { ...madeUpRecord(tablet), generation: lease.generation };
    expect(await state.store.terminals.save(lease, record, systemClock.now() + 60_000)).toBe('saved');
  });

  test.each([
    ...['', 'rubbish', '17', '-1 -1 -1', '9e99 1 1', `${Number.MAX_SAFE_INTEGER} 0 0`],
    ...['AT AT', 'AT AT AT AT', 'xAT AT AT', 'AT AT ATx', ' AT AT AT'],
  ])('that somebody else has stored as "%s" refuses nothing', async (text) => {
    const { store, redis, keys } = await openRedisState();
    const fence = text.replaceAll('AT', String(systemClock.now() + 60_000));
    for (const field of [terminalOf(ID), 'floor']) await redis.hset(keys.fences(accountOf(ID)), field, fence);
    await restored(store, { subject: SUBJECT });
    const lease = await granted(store, ID);
    expect(lease.generation).toBeLessThan(systemClock.now() + 1_000);
    const record = { ...madeUpRecord(SUBJECT), generation: lease.generation, answeredAt: lease.generation };
    expect(await store.terminals.save(lease, record, systemClock.now() + 60_000)).toBe('saved');
  });

  test('of a logged-out terminal stays when the token of another is saved', async () => {
    const { store } = await openRedisState();
    const tablet = { ...SUBJECT, uniqueId: 'tablet' };
    const lease = await granted(store, subjectId(tablet));
    await store.terminals.remove(subjectId(tablet));
    await restored(store, { subject: SUBJECT });
    const record = { ...madeUpRecord(tablet), generation: lease.generation };
    expect(await store.terminals.save(lease, record, systemClock.now() + 60_000)).toBe('outdated');
  });

  test.each([
    [20, 64],
    [50, 100],
  ])(
    'of the oldest terminal becomes the floor of an account with %i terminals above %i fences',
    async (limit, most) => {
      const { redis, keys } = await openRedisState();
      const fences = keys.fences(accountOf(ID));
      const at = systemClock.now() - 1_000;
      const logOut = (terminal: string) => runScript(redis, scriptCalls(keys, ID).remove(terminal, limit));
      for (let number = 1; number < most; number += 1) {
        await redis.hset(fences, `old-${number}`, `${at + number} ${number} ${2 * number}`);
      }
      await logOut('phone-1');
      expect(await redis.hlen(fences)).toBe(most);
      for (const number of [1, 2]) {
        await logOut(`tablet-${number}`);
        const floor = `${at + number} ${number} ${2 * number}`;
        expect(await redis.hmget(fences, `old-${number}`, 'floor')).toEqual([null, floor]);
      }
      expect(await redis.hlen(fences)).toBe(most + 1);
      // Each number of the floor only ever rises.
      await redis.hset(fences, 'floor', `0 ${at + 500} 5`);
      await logOut('tablet-3');
      expect(await redis.hmget(fences, 'old-3', 'floor')).toEqual([null, `${at + 3} ${at + 500} 6`]);
    },
  );

  test('is deleted with the failures when the token is saved', async () => {
    const { store, redis, keys } = await openRedisState();
    await store.terminals.release(await granted(store, ID), undefined, { code: 'vendor_timeout' });
    expect(await redis.exists(keys.fences(accountOf(ID)), keys.failures(accountOf(ID)))).toBe(2);
    const { generation } = await granted(store, ID);
    await restored(store, { subject: SUBJECT, generation });
    expect(await redis.exists(keys.fences(accountOf(ID)), keys.failures(accountOf(ID)))).toBe(0);
  });

  test('may have expired after an hour: then a write under the lease is refused, and a lost token is restored', async () => {
    const { store } = await openRedisState();
    const generation = systemClock.now() - HOUR_MS - 1_000;
    const lease = { id: ID, ownerId: 'late', generation, durationMs: 1_000 };
    const record = await restored(store, { subject: SUBJECT, generation: generation - 1 });
    const dueAt = systemClock.now() + 60_000;
    expect(await store.terminals.save(lease, { ...record, generation }, dueAt)).toBe('outdated');
    expect(await store.terminals.restore({ ...record, generation }, dueAt)).toBe('saved');
  });
});
