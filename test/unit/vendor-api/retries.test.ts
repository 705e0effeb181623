import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { type FaultFacts, type FaultKind, VendorFault } from '../../../src/vendor-api/faults.ts';
import { retryDelays } from '../../../src/vendor-api/login.ts';
import { FAULT_KINDS, FAULTS } from './every-fault.ts';

const WINDOW_MS = 7_500;

/** A login with these faults. @returns the delay in ms after each fault, until one is final */
function delays(faults: readonly VendorFault[], { random = 0, attemptMs = 1, windowMs = WINDOW_MS } = {}): number[] {
  let now = 1_800_000_000_000;
  const clock: Clock = { ...systemClock, monotonic: () => now, random: () => random };
  const delayAfter = retryDelays(clock, now + windowMs);
  const taken: number[] = [];
  for (const fault of faults) {
    now += attemptMs;
    const delayMs = delayAfter(fault);
    if (delayMs === undefined) return taken;
    taken.push(delayMs);
    now += delayMs;
  }
  throw new Error('no fault was final');
}

const again = (kind: FaultKind, facts: FaultFacts = {}) =>
  Array.from({ length: 9 }, () => new VendorFault(kind, facts));

const RETRIES = { answered: 2, answer_lost: 1 };

describe('a login has', () => {
  it.each(FAULT_KINDS.filter((kind) => kind !== 'clock_skew'))('as many attempts as the fault %s allows', (kind) => {
    const [, , retry] = FAULTS[kind];
    expect(delays(again(kind))).toHaveLength(retry ? RETRIES[retry] : 0);
  });

  it('one more attempt at once after a refused timestamp, and only one', () => {
    expect(delays(again('clock_skew'), { random: 0.99 })).toEqual([0]);
  });

  it('at most three attempts, whatever the faults and their order', () => {
    expect(delays([...again('outage').slice(0, 2), ...again('clock_skew')])).toHaveLength(2);
    expect(delays([...again('clock_skew').slice(0, 1), ...again('outage')])).toHaveLength(2);
  });
});

it('an attempt may begin at the last moment, and not 1 ms later', () => {
  expect(delays(again('outage'), { attemptMs: 2, windowMs: 1 })).toEqual([]);
  expect(delays(again('outage'), { attemptMs: 2, windowMs: 2 })).toEqual([0]);
});

describe('the delay', () => {
  it('is 0 to 250 ms, then 0 to 500 ms: full jitter', () => {
    expect(delays(again('outage'), { random: 0 })).toEqual([0, 0]);
    expect(delays(again('outage'), { random: 0.5 })).toEqual([125, 250]);
    expect(delays(again('outage'), { random: 0.999 })).toEqual([249.75, 499.5]);
  });

  it('is at least as long as the vendor asks, with jitter on top', () => {
    expect(delays(again('too_frequent', { retryAfter: 2 }), { random: 0 })).toEqual([2_000, 2_000]);
    expect(delays(again('too_frequent', { retryAfter: 2 }), { random: 0.5 })).toEqual([2_125, 2_250]);
  });

  it('is at least a second after a login that was too frequent, if the vendor asks for no other', () => {
    expect(delays(again('too_frequent'), { random: 0.5 })).toEqual([1_125, 1_250]);
    expect(delays(again('too_frequent', { retryAfter: 0 }), { random: 0 })).toEqual([1_000, 1_000]);
  });

  it('that would exceed the time for it makes the fault final', () => {
    expect(delays(again('too_frequent', { retryAfter: 8 }))).toEqual([]);
    expect(delays(again('too_frequent', { retryAfter: 3_600 }))).toEqual([]);
    expect(delays(again('outage'), { attemptMs: WINDOW_MS + 50 })).toEqual([]);
  });
});
