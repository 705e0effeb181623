import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../../../../src/store/redis/keys.ts';
import { createRedisStore } from '../../../../../src/store/redis/redis-store.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { EMPTY_PACE, type PaceState, reservePlace, type Urgency } from '../../../../../src/token/login-queue.ts';
import { silentObserver } from '../../../../../src/token/observer.ts';
import type { TokenStore } from '../../../../../src/token/ports.ts';
import { eventually } from '../../../../support/eventually.ts';

const log = { info: () => undefined, warn: () => undefined };

async function openStore(keyPrefix: string): Promise<TokenStore> {
  const url = inject('redisUrl');
  const store = createRedisStore({
    url,
    keyPrefix,
    encryptionKeys: [],
    terminalsPerAccount: 1,
    clock: systemClock,
    log,
    observer: silentObserver,
  });
  onTestFinished(() => store.close());
  await eventually(() => store.health.ping().then(() => true));
  return store;
}

/** A store, and access to the state of its login queue. */
async function openQueue() {
  const prefix = `test-${randomUUID()}`;
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  const key = new Keys(prefix).loginQueue;
  return {
    store: await openStore(prefix),
    async now(): Promise<number> {
      const [seconds, microseconds] = (await redis.time()).map(Number);
      return (seconds ?? 0) * 1_000 + Math.floor((microseconds ?? 0) / 1_000);
    },
    async write(state: PaceState | undefined): Promise<void> {
      await redis.del(key);
      if (state) await redis.hset(key, state);
    },
    async read(): Promise<PaceState> {
      const stored = await redis.hgetall(key);
      const { next = 0, waitingUntil = 0, nextBackground = 0 } = stored;
      return { next: Number(next), waitingUntil: Number(waitingUntil), nextBackground: Number(nextBackground) };
    },
    lifeMs: () => redis.pttl(key),
  };
}

/** Redis stores times in ms with three decimals. */
function rounded({ next, waitingUntil, nextBackground }: PaceState): PaceState {
  const round = (instant: number) => Math.round(instant * 100) / 100;
  return { next: round(next), waitingUntil: round(waitingUntil), nextBackground: round(nextBackground) };
}

// Times relative to now: long past, just past, soon, and later than any login queues.
const span = fc.oneof(fc.integer({ min: -2_500, max: 2_500 }), fc.constantFrom(-10_000_000, 2_040, 2_060, 3_600_000));
const spans = fc.record({ next: span, waitingUntil: span, nextBackground: span });
const pace = fc.record({ intervalMs: fc.constantFrom(50, 1_000 / 7, 1_000, 4), burst: fc.integer({ min: 1, max: 5 }) });
const urgency = fc.constantFrom<Urgency>('foreground', 'background');

test('the script reserves the same places as reservePlace, from any state', async () => {
  const { store, now, write, read } = await openQueue();
  await fc.assert(
    fc.asyncProperty(fc.option(spans, { nil: undefined }), pace, urgency, async (ahead, pace, urgency) => {
      const from = await now();
      const before = ahead && {
        next: from + ahead.next,
        waitingUntil: from + ahead.waitingUntil,
        nextBackground: from + ahead.nextBackground,
      };
      await write(before);
      const earliest = await now();
      const place = await store.loginQueue.reserve(pace, urgency);
      const latest = await now();
      const after = rounded(await read());
      // The script ran at one of these times.
      const expected = Array.from({ length: latest - earliest + 1 }, (_, ms) => {
        const answer = reservePlace(before ?? EMPTY_PACE, earliest + ms, pace, urgency);
        const { granted, waitMs } = answer.place;
        const state = granted ? answer.state : (before ?? EMPTY_PACE);
        return { place: { granted, waitMs: Math.ceil(waitMs) }, after: rounded(state) };
      });
      expect(expected).toContainEqual({ place, after });
    }),
    { numRuns: 400 },
  );
});

test('the queue expires when its state has no effect any more, and not before', async () => {
  const { store, now, read, lifeMs } = await openQueue();
  const pace = { intervalMs: 250, burst: 4 };
  for (let place = 0; place < 12; place += 1) {
    await store.loginQueue.reserve(pace, place % 2 ? 'background' : 'foreground');
    const life = await lifeMs();
    const { next, waitingUntil } = await read();
    const burstAt = next + (pace.burst - 1) * pace.intervalMs;
    expect(life).toBeGreaterThan(Math.max(burstAt, waitingUntil) - (await now()) - 50);
    expect(life).toBeLessThan(10_000);
  }
});

test('replicas share one login queue', async () => {
  const prefix = `test-${randomUUID()}`;
  const replicas = await Promise.all([openStore(prefix), openStore(prefix), openStore(prefix)]);
  const pace = { intervalMs: 2_000, burst: 3 };
  const asked = Array.from({ length: 10 }, () =>
    replicas.map((replica) => replica.loginQueue.reserve(pace, 'foreground')),
  ).flat();
  const places = await Promise.all(asked);
  expect(places.filter(({ granted, waitMs }) => granted && waitMs === 0)).toHaveLength(3);
  expect(places.filter(({ granted }) => granted)).toHaveLength(4);
});

test('a rate limit does not block after the clock was set back', async () => {
  const prefix = `test-${randomUUID()}`;
  const store = await openStore(prefix);
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBeGreaterThan(0);
  await redis.set(new Keys(prefix).rate('logins'), Date.now() + 3_600_000);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
  expect(await store.rateLimiter.take('logins', 10_000, 2)).toBeGreaterThan(0);
});

test('the state of a rate limit expires when it has no effect any more, and not before', async () => {
  const prefix = `test-${randomUUID()}`;
  const store = await openStore(prefix);
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  for (const dueInMs of [10_000, 20_000]) {
    expect(await store.rateLimiter.take('logins', 10_000, 2)).toBe(0);
    const life = await redis.pttl(new Keys(prefix).rate('logins'));
    expect(life).toBeGreaterThan(dueInMs - 2_000);
    expect(life).toBeLessThanOrEqual(dueInMs);
  }
});
