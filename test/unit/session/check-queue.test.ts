import { expect, test } from 'vitest';
import { checkQueue } from '../../../src/session/session-cache.ts';
import { systemClock } from '../../../src/token/clock.ts';

/** A queue whose turns of the event loop are taken by hand. */
function queueByHand() {
  const turns: (() => void)[] = [];
  const queue = checkQueue({ ...systemClock, nextTurn: (callback) => void turns.push(callback) });
  const nextTurn = () => {
    expect(turns.length).toBeLessThanOrEqual(1);
    turns.pop()?.();
  };
  return { queue, nextTurn };
}

test('at most 8 checks run in one turn of the event loop, in order', async () => {
  const { queue, nextTurn } = queueByHand();
  const started: number[] = [];
  const check = (number: number) => () => started.push(number);
  const results = Array.from({ length: 20 }, (_, number) => queue.run(check(number)));
  expect(started).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  nextTurn();
  await Promise.resolve();
  expect(started).toHaveLength(16);
  results.push(queue.run(check(20)));
  await Promise.resolve();
  expect(started).toHaveLength(16);
  nextTurn();
  await Promise.resolve();
  expect(started).toEqual(Array.from({ length: 21 }, (_, number) => number));
  expect(await Promise.all(results)).toEqual(Array.from({ length: 21 }, (_, number) => number + 1));
});

test('a check in a quiet turn runs at once and gives its result without a promise', () => {
  const { queue, nextTurn } = queueByHand();
  for (let turn = 0; turn < 3; turn += 1) {
    expect(queue.run(() => 'principal')).toBe('principal');
    nextTurn();
    nextTurn();
  }
});

test('at most 4,096 checks wait', async () => {
  const { queue } = queueByHand();
  for (let number = 0; number < 8 + 4_096; number += 1) void queue.run(() => number);
  await expect(queue.run(() => 'principal')).rejects.toMatchObject({
    code: 'session_check_unavailable',
    cause: { message: 'Too many sessions wait for their check' },
  });
});

test('a check that fails after it waited rejects its own caller only', async () => {
  const { queue, nextTurn } = queueByHand();
  for (let number = 0; number < 8; number += 1) void queue.run(() => number);
  const refused = queue.run(() => Promise.reject(new Error('refused')));
  const broken = queue.run(() => {
    throw new Error('broken');
  });
  const next = queue.run(() => 'principal');
  expect(nextTurn).not.toThrow();
  await expect(refused).rejects.toThrow('refused');
  await expect(broken).rejects.toThrow('broken');
  expect(await next).toBe('principal');
});
