import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { raceTimeout } from '../../../src/token/time-budget.ts';

/** A promise that ends when it is told to. */
function pending() {
  let resolve = (_answer: string): void => undefined;
  let reject = (_error: Error): void => undefined;
  const promise = new Promise<string>((...settle) => {
    [resolve, reject] = settle;
  });
  return { promise, resolve, reject };
}

describe('waiting within a limit', () => {
  test('answers what the promise comes to', async () => {
    expect(await raceTimeout(systemClock, 60_000, Promise.resolve('token'))).toBe('token');
  });

  test('throws what the promise throws', async () => {
    await expect(raceTimeout(systemClock, 60_000, Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  });

  test('ends without an answer once the time is over, while the promise goes on', async () => {
    const slow = pending();
    expect(await raceTimeout(systemClock, 1, slow.promise)).toBeUndefined();
    slow.resolve('token');
    expect(await slow.promise).toBe('token');
  });

  test('leaves a failure that comes too late to whoever else waits for it', async () => {
    const unheard: unknown[] = [];
    const hear = (error: unknown) => unheard.push(error);
    process.on('unhandledRejection', hear);
    onTestFinished(() => void process.off('unhandledRejection', hear));
    const slow = pending();
    expect(await raceTimeout(systemClock, 1, slow.promise)).toBeUndefined();
    slow.reject(new Error('too late'));
    await new Promise(setImmediate);
    expect(unheard).toEqual([]);
  });

  test('leaves no timer behind that would keep the process alive', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const slow = pending();
    const waiting = raceTimeout(systemClock, 60_000, slow.promise);
    expect(vi.getTimerCount()).toBe(1);
    slow.resolve('token');
    await waiting;
    await expect(raceTimeout(systemClock, 60_000, Promise.reject(new Error('refused')))).rejects.toThrow('refused');
    expect(vi.getTimerCount()).toBe(0);
  });
});

test('an answer that came in while the event loop was busy is taken, and nothing is left unhandled', async () => {
  const unheard: unknown[] = [];
  const hear = (error: unknown) => unheard.push(error);
  process.on('unhandledRejection', hear);
  onTestFinished(() => void process.off('unhandledRejection', hear));
  const server = createServer((socket) => void socket.end('answer')).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const answer = raceTimeout(systemClock, 20, once(socket, 'data'), 'late');
  const busyUntil = performance.now() + 60;
  while (performance.now() < busyUntil);
  expect(String(await answer)).toBe('answer');
  const refused = raceTimeout(
    systemClock,
    20,
    once(socket, 'never').catch(() => 'gone'),
    'late',
  );
  expect(await refused).toBe('late');
  socket.destroy(new Error('too late'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(unheard).toEqual([]);
});
