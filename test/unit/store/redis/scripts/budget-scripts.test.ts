import { randomUUID } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { Keys } from '../../../../../src/store/redis/keys.ts';
import { returningMs, type Urgency } from '../../../../../src/token/login-queue.ts';
import { type AccountId, accountId } from '../../../../../src/token/subject.ts';
import { openRedisStore } from '../../../../support/filled-store.ts';
import { redisClient } from '../../../../support/redis-client.ts';
import { expectMs } from '../../../../support/redis-state.ts';

const ACCOUNT = accountId('account');

/** A store of its own, with access to its keys. */
async function openStore() {
  const keyPrefix = `test-${randomUUID()}`;
  const store = await openRedisStore(inject('redisUrl'), keyPrefix, []);
  return { ...store, redis: redisClient(), keys: new Keys(keyPrefix) };
}

/** A store, and access to the state of its login queue. */
async function openQueue() {
  const { redis, keys, ...store } = await openStore();
  const key = keys.loginQueue;
  return {
    store,
    async now(): Promise<number> {
      const [seconds, microseconds] = (await redis.time()).map(Number);
      return (seconds ?? 0) * 1_000 + Math.floor((microseconds ?? 0) / 1_000);
    },
    async read() {
      const { next, foregroundUntil } = await redis.hgetall(key);
      return { next: Number(next), foregroundUntil: Number(foregroundUntil) };
    },
    lifeMs: () => redis.pttl(key),
    markLifeMs: (account: AccountId) => redis.pttl(keys.recentLogin(account)),
  };
}

test('the queue expires when its state has no effect any more, and not before', async () => {
  const { store, now, read, lifeMs } = await openQueue();
  const pace = { intervalMs: 250, burst: 4 };
  for (let place = 0; place < 12; place += 1) {
    await store.loginQueue.reserve(pace, place % 2 ? 'background' : 'foreground', ACCOUNT);
    const life = await lifeMs();
    const { next, foregroundUntil } = await read();
    const burstAt = next + (pace.burst - 1) * pace.intervalMs;
    expect(life).toBeGreaterThan(Math.max(burstAt, foregroundUntil) - (await now()) - 50);
    expect(life).toBeLessThan(10_000);
  }
});

test('an account is remembered for ten minutes after a foreground login, for less at a high rate, and not after others', async () => {
  const { store, markLifeMs } = await openQueue();
  const remembered = async (intervalMs: number, urgency: Urgency) => {
    const account = accountId(randomUUID());
    await store.loginQueue.reserve({ intervalMs, burst: 1_000 }, urgency, account);
    return markLifeMs(account);
  };
  expect(await remembered(100, 'background')).toBe(-2);
  for (const [intervalMs, most] of [
    [100, 600_000],
    [0.1, 10_000],
  ] as const) {
    expect(returningMs({ intervalMs, burst: 1 })).toBe(most);
    expectMs(await remembered(intervalMs, 'foreground'), most);
  }
});

test('a permit that is given back can be taken again, and none appears from nothing', async () => {
  const { rateLimiter } = await openStore();
  const take = () => rateLimiter.take('logins', 10_000, 2);
  await rateLimiter.giveBack('logins', 10_000);
  expect([await take(), await take()]).toEqual([0, 0]);
  expect(await take()).toBeGreaterThan(0);
  await rateLimiter.giveBack('logins', 10_000);
  expect(await take()).toBe(0);
  expect(await take()).toBeGreaterThan(0);
});

test('a rate limit does not block after the clock was set back', async () => {
  const { redis, keys, ...store } = await openStore();
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBeGreaterThan(0);
  await redis.set(keys.rate('logins'), Date.now() + 3_600_000);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBeGreaterThan(0);
});

test('the state of a rate limit expires when it has no effect any more, and not before', async () => {
  const { redis, keys, ...store } = await openStore();
  for (const dueInMs of [10_000, 20_000]) {
    expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
    expectMs(await redis.pttl(keys.rate('logins')), dueInMs);
  }
  await store.rateLimiter.giveBack('logins', 10_000);
  expectMs(await redis.pttl(keys.rate('logins')), 10_000);
});

test('the login queue has no next place before the first login', async () => {
  expect(await (await openStore()).loginQueue.nextPlaceInMs()).toBeUndefined();
});
