import { expect, test } from 'vitest';
import { memoryRates } from '../../../../src/store/memory/memory-store.ts';
import { TestClock } from '../../../support/test-clock.ts';

test('a rate limit is the same after the clock was set back or forward', async () => {
  const clock = new TestClock();
  const rates = memoryRates(clock);
  for (let left = 2; left > 0; left -= 1) expect(await rates.take('logins', 10_000, 2)).toBe(0);
  expect(await rates.take('logins', 10_000, 2)).toBe(10_000);
  for (const ms of [-3_600_000, 7_200_000]) {
    clock.jump(ms);
    expect(await rates.take('logins', 10_000, 2)).toBe(10_000);
  }
  clock.advance(10_000);
  expect(await rates.take('logins', 10_000, 2)).toBe(0);
  expect(await rates.take('logins', 10_000, 2)).toBe(10_000);
});
