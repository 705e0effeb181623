import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { TimeBudget } from '../../../src/token/time-budget.ts';
import { TestClock } from '../../support/test-clock.ts';

describe('timeBudget', () => {
  test('gives what an answer comes to, and throws what it throws', async () => {
    const timeBudget = new TimeBudget(systemClock, 60_000);
    expect(await timeBudget.wait(Promise.resolve('token'))).toBe('token');
    await expect(timeBudget.wait(Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  });

  test('is spent over one answer after the other, failures too', async () => {
    const clock = new TestClock();
    const timeBudget = new TimeBudget(clock, 60_000);
    const slow = async (ms: number) => {
      clock.advance(ms);
      return 'late';
    };
    expect(await timeBudget.wait(slow(0).then(() => slow(40_000)))).toBe('late');
    const failing = slow(0).then(async () => Promise.reject(new Error(await slow(30_000))));
    await expect(timeBudget.wait(failing)).rejects.toThrow('late');
    const startedAt = performance.now();
    expect(await timeBudget.wait(new Promise(() => undefined))).toBeUndefined();
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test('is never so short that an answer that is on its way is not taken', async () => {
    const timeBudget = new TimeBudget(systemClock, 0);
    expect(await timeBudget.wait(sleep(5, 'quick'))).toBe('quick');
  });

  test('is not gained by a clock that is set back', async () => {
    const clock = new TestClock();
    const timeBudget = new TimeBudget(clock, 0);
    await timeBudget.wait(Promise.resolve().then(() => clock.advance(-60_000)));
    const startedAt = performance.now();
    expect(await timeBudget.wait(new Promise(() => undefined))).toBeUndefined();
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});
