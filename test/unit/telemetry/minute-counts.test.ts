import { describe, expect, test } from 'vitest';
import { MinuteCounts } from '../../../src/telemetry/minute-counts.ts';
import { TestClock } from '../../support/test-clock.ts';

const MINUTE_MS = 60_000;

/** Counts on a clock that begins with a whole minute. */
function createCounts() {
  const clock = new TestClock();
  clock.advance(MINUTE_MS - (clock.now() % MINUTE_MS));
  return { clock, counts: new MinuteCounts<'one' | 'two'>(clock) };
}

describe('the counts of the last minutes', () => {
  test('are those of the current minute and of as many before it', () => {
    const { clock, counts } = createCounts();
    for (let minute = 0; minute < 10; minute += 1) {
      counts.add('one');
      clock.advance(MINUTE_MS);
    }
    counts.add('two');
    expect(counts.within(5)).toEqual({ one: 5, two: 1 });
    expect(counts.within(60)).toEqual({ one: 10, two: 1 });
  });

  test('forget what is older than an hour, also after a long silence', () => {
    const { clock, counts } = createCounts();
    counts.add('one');
    clock.advance(60 * MINUTE_MS);
    expect(counts.within(60)).toEqual({ one: 1 });
    clock.advance(MINUTE_MS);
    expect(counts.within(60)).toEqual({});
    counts.add('one');
    clock.advance(7 * 24 * 60 * MINUTE_MS);
    expect(counts.within(60)).toEqual({});
  });

  test('lose nothing when the clock is set back', () => {
    const { clock, counts } = createCounts();
    counts.add('one');
    clock.advance(-10 * MINUTE_MS);
    counts.add('one');
    expect(counts.within(5)).toEqual({ one: 2 });
  });
});

test('the rate is the mean over the last whole minute and the current one', () => {
  const { clock, counts } = createCounts();
  expect(counts.perSecond('one')).toBe(0);
  for (let event = 0; event < 180; event += 1) counts.add('one');
  clock.advance(MINUTE_MS + 30_000);
  expect(counts.perSecond('one')).toBe(2);
  clock.advance(MINUTE_MS);
  expect(counts.perSecond('one')).toBe(0);
});
