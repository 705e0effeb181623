import { describe, expect, test } from 'vitest';
import { runScript } from '../../../../../src/store/redis/lua-scripts.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { accountOf, subjectId } from '../../../../../src/token/subject.ts';
import { claimLeases } from '../../../../support/due-claims.ts';
import { eventually } from '../../../../support/eventually.ts';
import { expectMs, granted, openRedisState, restored, scriptCalls } from '../../../../support/redis-state.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const DAY_MS = 86_400_000;

describe('a command that a client sends again after a lost answer', () => {
  test('gets its own lease', async () => {
    const { redis, keys } = await openRedisState();
    const acquire = async (owner: string) => {
      const answer = await runScript(redis, scriptCalls(keys, ID).acquire(owner));
      return String((answer as unknown[])[0]);
    };
    expect(await acquire('one')).toBe('granted');
    expect(await acquire('one')).toBe('granted');
    expect(await acquire('other')).toBe('held');
  });

  test('does not undo what happened to the saved token in between', async () => {
    const { store, dueInMs } = await openRedisState();
    const lease = await granted(store, ID);
    const record = await restored(store, { subject: SUBJECT, generation: lease.generation, read: false });
    await store.terminals.markRead(ID, lease.generation, systemClock.now() + DAY_MS);
    expect(await store.terminals.save(lease, record, systemClock.now() + DAY_MS)).toBe('saved');
    expect((await store.terminals.read(ID)).record?.read).toBe(true);
    expect(await dueInMs(ID)).toBeLessThan(DAY_MS / 2);
  });
});

describe('a lease that seems to last for an hour, because the clock of Redis was set back', () => {
  const HOUR_MS = 3_600_000;

  test('ends within its duration after another replica asked for it', async () => {
    const { store, redis, keys, lifeMs } = await openRedisState();
    const lease = await granted(store, ID);
    await redis.pexpire(keys.lease(ID), HOUR_MS);
    const answer = await store.terminals.acquire(ID, 300);
    expect(answer.kind === 'held' && answer.heldForMs).toBeLessThanOrEqual(300);
    expect(await lifeMs(keys.lease(ID))).toBeLessThanOrEqual(300);
    const next = await eventually(() => granted(store, ID));
    expect(next.generation).toBeGreaterThan(lease.generation);
  });

  test('ends within its duration after a worker found its subject due', async () => {
    const { store, redis, keys, lifeMs, setDue } = await openRedisState();
    await restored(store, { subject: SUBJECT });
    await granted(store, ID);
    await redis.pexpire(keys.lease(ID), HOUR_MS);
    await setDue(ID, 0);
    expect((await claimLeases(store, 100, 300)).claims).toEqual([]);
    expect(await lifeMs(keys.lease(ID))).toBeLessThanOrEqual(300);
    await eventually(async () => expect((await claimLeases(store, 100, 300)).claims).toHaveLength(1));
  });

  test('is kept by an owner that lives', async () => {
    const { store, redis, keys } = await openRedisState();
    const lease = await granted(store, ID);
    await redis.pexpire(keys.lease(ID), HOUR_MS);
    await store.terminals.acquire(ID, 10_000);
    expect(await store.terminals.extend([lease])).toEqual([]);
    expect((await store.terminals.acquire(ID, 10_000)).kind).toBe('held');
  });
});

describe('the failures of an account', () => {
  test('are forgotten a minute after the last one, or after the time that the vendor asks to wait', async () => {
    const { store, keys, lifeMs } = await openRedisState();
    for (const [waitMs, keptMs] of [
      [0, 60_000],
      [200_000, 200_000],
    ] as const) {
      await store.terminals.release(await granted(store, ID), undefined, { code: 'vendor_timeout', waitMs });
      expectMs(await lifeMs(keys.failures(accountOf(ID))), keptMs);
    }
  });

  test('cause the longest cool-down however many they are', async () => {
    const { store, redis, keys } = await openRedisState();
    await redis.hset(keys.failures(accountOf(ID)), 'count', 1_000);
    await store.terminals.release(await granted(store, ID), undefined, { code: 'vendor_timeout' });
    const answer = await store.terminals.acquire(ID, 1_000);
    expect(answer).toMatchObject({ kind: 'cooling', code: 'vendor_timeout' });
    expectMs(answer.kind === 'cooling' ? answer.forMs : undefined, 15_000);
  });
});

describe('an erased account', () => {
  test('leaves only the time of the erasure for 400 days, and does not expire once it has logged in again', async () => {
    const { store, redis, keys, lifeMs } = await openRedisState();
    const key = keys.account(accountOf(ID));
    await restored(store, { subject: SUBJECT });
    await store.accounts.erase(SUBJECT.unionId);
    expect(await redis.hkeys(key)).toEqual(['e']);
    expectMs(await lifeMs(key), 400 * DAY_MS);
    const { generation } = await granted(store, ID);
    await restored(store, { subject: SUBJECT, generation });
    expect(await lifeMs(key)).toBe(-1);
  });

  test('does not expire once it has obtained its accessId again', async () => {
    const { store, redis, keys, lifeMs } = await openRedisState();
    const key = keys.account(accountOf(ID));
    await store.accounts.erase(SUBJECT.unionId);
    const identity = { unionId: SUBJECT.unionId, accessId: '42', region: 'DE' };
    expect(await store.terminals.saveAccessId(await granted(store, ID), identity)).toBe('saved');
    expect(await lifeMs(key)).toBe(-1);
    expect((await redis.hkeys(key)).sort()).toEqual(['d', 'e', 'r']);
  });

  test('that has logged in before the erasure ends keeps its new directory entry', async () => {
    const { store, redis, keys } = await openRedisState();
    const key = keys.account(accountOf(ID));
    await restored(store, { subject: SUBJECT });
    await runScript(redis, scriptCalls(keys, ID).erase());
    const { generation } = await granted(store, ID);
    await restored(store, { subject: SUBJECT, generation });
    await runScript(redis, ['forgetDirectory', [key], []]);
    expect(await redis.hexists(key, 'd')).toBe(1);
  });
});
