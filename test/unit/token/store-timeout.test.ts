import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { sleep as clockSleep, StoreTimeout, systemClock, withTimeout } from '../../../src/token/clock.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

/** A promise that the test settles itself. */
function pending() {
  let resolve = (_answer: string): void => undefined;
  let reject = (_error: Error): void => undefined;
  const promise = new Promise<string>((...settle) => {
    [resolve, reject] = settle;
  });
  return { promise, resolve, reject };
}

/** Collects the unhandled rejections of this process until the test ends. */
function unhandledRejections(): unknown[] {
  const errors: unknown[] = [];
  const add = (error: unknown) => errors.push(error);
  process.on('unhandledRejection', add);
  onTestFinished(() => void process.off('unhandledRejection', add));
  return errors;
}

test.each([
  ['withTimeout', <T>(promise: Promise<T>) => withTimeout(systemClock, 60_000, promise)],
  ['a store timeout', <T>(promise: Promise<T>) => new StoreTimeout(systemClock, 60_000).wait(promise)],
])('%s returns the result of the promise, and throws its error', async (_, wait) => {
  expect(await wait(Promise.resolve('token'))).toBe('token');
  await expect(wait(Promise.reject(new Error('refused')))).rejects.toThrow('refused');
});

describe('withTimeout', () => {
  test('returns undefined after the timeout, counted once, while the promise goes on', async () => {
    const slow = pending();
    const counted: number[] = [];
    expect(await withTimeout(systemClock, 1, slow.promise, (ms) => void counted.push(ms))).toBeUndefined();
    slow.resolve('token');
    expect(await slow.promise).toBe('token');
    expect(counted).toEqual([1]);
  });

  test('leaves no unhandled rejection if the promise fails after the timeout', async () => {
    const unhandled = unhandledRejections();
    const slow = pending();
    expect(await withTimeout(systemClock, 1, slow.promise)).toBeUndefined();
    slow.reject(new Error('too late'));
    await new Promise(setImmediate);
    expect(unhandled).toEqual([]);
  });

  test('leaves no timer behind that would keep the process alive', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const slow = pending();
    const waiting = withTimeout(systemClock, 60_000, slow.promise);
    expect(vi.getTimerCount()).toBe(1);
    slow.resolve('token');
    await waiting;
    await expect(withTimeout(systemClock, 60_000, Promise.reject(new Error('refused')))).rejects.toThrow('refused');
    expect(vi.getTimerCount()).toBe(0);
  });
});

test('withTimeout takes an answer that arrived while the event loop was busy, and leaves no unhandled rejection', async () => {
  const unhandled = unhandledRejections();
  const server = createServer((socket) => void socket.end('answer')).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const answer = withTimeout(systemClock, 20, once(socket, 'data'));
  const busyUntil = performance.now() + 60;
  while (performance.now() < busyUntil);
  expect(String(await answer)).toBe('answer');
  const refused = withTimeout(
    systemClock,
    20,
    once(socket, 'never').catch(() => 'gone'),
  );
  expect(await refused).toBeUndefined();
  socket.destroy(new Error('too late'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(unhandled).toEqual([]);
});

describe('a stall of this process', () => {
  /** An answer that arrives 20 ms after the event loop runs again. */
  const answerAfterStall = () =>
    new Promise<string>((resolve) => setImmediate(() => setTimeout(() => resolve('answer'), 20)));

  function stall(): void {
    const until = performance.now() + 400;
    while (performance.now() < until);
  }

  test('is no timeout of withTimeout', async () => {
    const counted: number[] = [];
    const answer = withTimeout(systemClock, 200, answerAfterStall(), (ms) => void counted.push(ms));
    stall();
    expect(await answer).toBe('answer');
    expect(counted[0]).toBeLessThan(200);
  });

  test('takes a quarter of a store timeout at most', async () => {
    const storeTimeout = new StoreTimeout(systemClock, 400);
    for (let round = 0; round < 2; round += 1) {
      const answer = storeTimeout.wait(answerAfterStall());
      stall();
      expect(await answer).toBe('answer');
    }
  });

  test('does not end the wait for an answer that never comes', async () => {
    const startedAt = performance.now();
    const none = withTimeout(systemClock, 200, new Promise(() => undefined));
    stall();
    expect(await none).toBeUndefined();
    // Three quarters of the timeout, after the stall.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(540);
  });
});

describe('a store timeout', () => {
  test('is used up by one promise after the other, including failures', async () => {
    const { clock, pass } = virtualClock();
    const storeTimeout = new StoreTimeout(clock, 60_000);
    const late = storeTimeout.wait(clockSleep(clock, 40_000).then(() => 'late'));
    await pass(40_000);
    expect(await late).toBe('late');
    const failing = storeTimeout.wait(clockSleep(clock, 19_900).then(() => Promise.reject(new Error('late'))));
    const failure = failing.catch((error: Error) => error.message);
    await pass(19_900);
    expect(await failure).toBe('late');
    let answer: unknown = 'none';
    void storeTimeout.wait(new Promise(() => undefined)).then((none) => {
      answer = none;
    });
    await pass(99);
    expect(answer).toBe('none');
    await pass(1);
    expect(answer).toBeUndefined();
  });

  test('waits for each answer as long as something is left, and then for 20 ms', async () => {
    const { clock, pass } = virtualClock();
    const storeTimeout = new StoreTimeout(clock, 1_000);
    const answerAfter = async (ms: number) => {
      const answer = storeTimeout.wait(clockSleep(clock, ms).then(() => 'token'));
      await pass(ms);
      return answer;
    };
    expect(await answerAfter(400)).toBe('token');
    expect(await answerAfter(599)).toBe('token');
    expect(await answerAfter(19)).toBe('token');
    expect(await answerAfter(21)).toBeUndefined();
  });

  test.each([-60_000, 60_000])('stays the same if the clock is set by %i ms', async (jumpMs) => {
    const clock = new TestClock();
    const storeTimeout = new StoreTimeout(clock, 100);
    await storeTimeout.wait(Promise.resolve().then(() => clock.jump(jumpMs)));
    expect(await storeTimeout.wait(sleep(60, 'token'))).toBe('token');
    const startedAt = performance.now();
    expect(await storeTimeout.wait(new Promise(() => undefined))).toBeUndefined();
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

test('a timer of the system clock that is cancelled between its end and its call is not called', async () => {
  let calls = 0;
  const timer = systemClock.setTimer(() => {
    calls += 1;
  }, 1);
  setTimeout(() => setImmediate(() => timer.cancel()), 1);
  // Both timers are due after this, so they end in the same turn of the event loop.
  const start = performance.now();
  while (performance.now() - start < 10);
  await sleep(50);
  expect(calls).toBe(0);
});
