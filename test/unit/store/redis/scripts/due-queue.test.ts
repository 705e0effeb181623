import { describe, expect, test } from 'vitest';
import { runScript } from '../../../../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { accountOf, subjectId, terminalOf } from '../../../../../src/token/subject.ts';
import { claimLeases } from '../../../../support/due-claims.ts';
import { eventually } from '../../../../support/eventually.ts';
import { madeUpToken } from '../../../../support/made-up-tokens.ts';
import { expectMs, granted, openRedisState, restored } from '../../../../support/redis-state.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

describe('the due queue', () => {
  test('never contains a subject without a token', async () => {
    const { store, dueInMs } = await openRedisState();
    const lease = await granted(store, ID);
    expect(await store.terminals.extend([lease])).toEqual([]);
    await store.terminals.release(lease, systemClock.now() + 1_000, { code: 'vendor_timeout' });
    expect(await dueInMs(ID)).toBeUndefined();
  });

  test('has a leased subject due when its lease ends, and a released one at its own time', async () => {
    const { store, keys, lifeMs, dueInMs, setDue } = await openRedisState();
    await restored(store, { subject: SUBJECT });
    const lease = await granted(store, ID, 20_000);
    expectMs(await dueInMs(ID), 20_000);
    expect(await store.terminals.extend([{ ...lease, durationMs: 30_000 }])).toEqual([]);
    expectMs(await dueInMs(ID), 30_000);
    expectMs(await lifeMs(keys.lease(ID)), 30_000);
    await store.terminals.release(lease, systemClock.now() + 25_000);
    expectMs(await dueInMs(ID), 25_000);
    await setDue(ID, 0);
    expect((await claimLeases(store, 100, 40_000)).claims).toHaveLength(1);
    expectMs(await dueInMs(ID), 40_000);
    expectMs(await lifeMs(keys.lease(ID)), 40_000);
  });

  test('has a due subject that cools down due again when that ends', async () => {
    const { store, redis, keys, dueInMs, setDue } = await openRedisState();
    await restored(store, { subject: SUBJECT });
    await redis.hset(keys.failures(accountOf(ID)), { until: systemClock.now() + 15_000, code: 'vendor_timeout' });
    await setDue(ID, 0);
    expect((await claimLeases(store, 100, 1_000)).claims).toEqual([]);
    expectMs(await dueInMs(ID), 15_000);
  });

  test('is changed by a cool-down for no subject that is due later, or that has no token', async () => {
    const { store, redis, keys, dueInMs, setDue } = await openRedisState();
    await restored(store, { subject: SUBJECT });
    await redis.hset(keys.failures(accountOf(ID)), { until: systemClock.now() + 15_000, code: 'vendor_timeout' });
    await setDue(ID, systemClock.now() + 60_000);
    const tablet = subjectId({ ...SUBJECT, uniqueId: 'tablet' });
    for (const id of [ID, tablet]) expect((await store.terminals.acquire(id, 1_000)).kind).toBe('cooling');
    expectMs(await dueInMs(ID), 60_000);
    expect(await dueInMs(tablet)).toBeUndefined();
  });

  test('drops a subject whose record is too short, and gives the others that are due', async () => {
    const { store, redis, keys, dueInMs, setDue } = await openRedisState();
    const tablet = subjectId({ ...SUBJECT, uniqueId: 'tablet' });
    // The third one is due much later.
    for (const uniqueId of ['phone', 'tablet', 'watch']) await restored(store, { subject: { ...SUBJECT, uniqueId } });
    await redis.hset(keys.account(accountOf(ID)), terminalOf(ID), 'broken');
    await setDue(ID, 0);
    await setDue(tablet, 1);
    const { claims } = await claimLeases(store, 100, 1_000);
    expect(claims.map(({ lease }) => lease.id)).toEqual([tablet]);
    expect(await dueInMs(ID)).toBeUndefined();
  });

  test('hides a subject from other workers for the given time only', async () => {
    const { store, redis, keys, setDue } = await openRedisState();
    await restored(store, { subject: SUBJECT });
    await setDue(ID, 0);
    const due = keys.dueOf(accountOf(ID));
    const take = async (hiddenMs: number) => {
      const [[, , , , ...ids]] = (await runScript(redis, ['claimDue', [due], [hiddenMs, 10, '^']])) as [unknown[]];
      return ids.map(String);
    };
    expect(await take(1_000)).toEqual([ID]);
    expect(await take(1_000)).toEqual([]);
    await eventually(async () => expect(await take(1_000)).toEqual([ID]));
  });

  test('hands out the last erasure of the account with a claim', async () => {
    const { store, setDue } = await openRedisState();
    const erasedAt = await store.accounts.erase(SUBJECT.unionId);
    await restored(store, { subject: SUBJECT, generation: erasedAt + 1 });
    await setDue(ID, 0);
    expect((await claimLeases(store, 100, 1_000)).claims).toMatchObject([{ sessionsEndedAt: erasedAt }]);
  });

  test('reports when its first entry is due, and nothing when it is empty', async () => {
    const { store, setDue } = await openRedisState();
    expect(await store.dueQueue.claim(100)).toEqual({ ids: [], nextInMs: undefined, backlog: 0, overdueMs: 0 });
    // Each of these accounts is in another shard.
    for (const unionId of ['alice', 'bob', 'carol', 'dave', 'eve', 'frank']) {
      const subject = { ...SUBJECT, unionId };
      await restored(store, { subject });
      await setDue(subjectId(subject), systemClock.now() + (unionId === 'alice' ? 20_000 : 30_000));
    }
    const { nextInMs, backlog } = await claimLeases(store, 100, 1_000);
    expectMs(nextInMs, 20_000);
    expect(backlog).toBe(0);
  });
});

test('the end of each token that an app has read is found by its account and terminal', async () => {
  const { store, redis, keys } = await openRedisState();
  const subjects = [SUBJECT, { ...SUBJECT, uniqueId: 'tablet' }, { ...SUBJECT, unionId: 'bob' }];
  const expiresAt = systemClock.now() + 60_000;
  for (const [at, subject] of subjects.entries()) {
    await restored(store, { subject, token: { ...madeUpToken(), expiresAt: expiresAt + at }, read: true });
  }
  const unread = { ...SUBJECT, unionId: 'carol' };
  await restored(store, { subject: unread, read: false });
  const ids = [...subjects, unread, { ...SUBJECT, unionId: 'dave' }].map(subjectId);
  const accounts = ids.map((id) => keys.account(accountOf(id)));
  const ends = await runScript(redis, ['endsOf', accounts, ids.map(terminalOf)]);
  expect(ends).toEqual([expiresAt, expiresAt + 1, expiresAt + 2, 0, 0]);
});
