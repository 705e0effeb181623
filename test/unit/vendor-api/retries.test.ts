import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { type FaultFacts, type FaultKind, VendorFault } from '../../../src/vendor-api/faults.ts';
import { Retries } from '../../../src/vendor-api/login.ts';

const DEFINITE = ['configuration', 'request', 'account_closed', 'circuit_open'] as const;
const LOST = ['timeout', 'unreachable', 'too_large', 'broken_answer'] as const;
const PASSING = ['too_frequent', 'maintenance', 'unknown', 'outage'] as const;
const BUDGET_MS = 7_500;

/** A login that goes from fault to fault: the ms it pauses after each, until one is final. Attempts take `attemptMs`. */
function pauses(faults: readonly VendorFault[], { random = 0, attemptMs = 1, budgetMs = BUDGET_MS } = {}): number[] {
  let now = 1_800_000_000_000;
  const clock: Clock = { ...systemClock, now: () => now, random: () => random };
  const retries = new Retries(clock, now + budgetMs);
  const taken: number[] = [];
  for (const fault of faults) {
    now += attemptMs;
    const delayMs = retries.delayAfter(fault);
    if (delayMs === undefined) return taken;
    taken.push(delayMs);
    now += delayMs;
  }
  throw new Error('it would go on for ever');
}

const again = (kind: FaultKind, facts: FaultFacts = {}) =>
  Array.from({ length: 9 }, () => new VendorFault(kind, facts));
const faults = fc
  .array(
    fc.record({
      kind: fc.constantFrom(...DEFINITE, ...LOST, ...PASSING, 'clock_skew' as const),
      retryAfter: fc.option(fc.nat(20), { nil: undefined }),
    }),
    { minLength: 9, maxLength: 9 },
  )
  .map((each) => each.map(({ kind, retryAfter }) => new VendorFault(kind, { retryAfter })));

describe('a login is tried', () => {
  it.each(DEFINITE)('once where the answer is %s', (kind) => expect(pauses(again(kind))).toHaveLength(0));

  it.each(LOST)('twice at most where its answer was lost: %s', (kind) => expect(pauses(again(kind))).toHaveLength(1));

  it.each(PASSING)('three times at most where trouble may pass: %s', (kind) => {
    expect(pauses(again(kind))).toHaveLength(2);
  });

  it('anew at once after a timestamp was refused, and that one time only', () => {
    expect(pauses(again('clock_skew'), { random: 0.99 })).toEqual([0]);
  });

  it('three times at most, whatever goes wrong in whatever order', () => {
    fc.assert(fc.property(faults, (each) => void expect(pauses(each).length).toBeLessThanOrEqual(2)));
    const last = [...again('outage').slice(0, 2), ...again('clock_skew')];
    expect(pauses(last)).toHaveLength(2);
  });

  it('never at an instant that leaves no time for an attempt', () => {
    fc.assert(
      fc.property(faults, fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(4_000), (each, random, attemptMs) => {
        const skewsApart = each.filter(({ kind }) => kind !== 'clock_skew');
        fc.pre(skewsApart.length >= 3);
        const taken = pauses(skewsApart, { random, attemptMs });
        const lastStartsAt = taken.reduce((sum, delayMs) => sum + attemptMs + delayMs, 0);
        if (taken.length > 0) expect(lastStartsAt).toBeLessThan(BUDGET_MS - 100);
      }),
    );
  });
});

describe('the pause', () => {
  it('is anything from nothing to a quarter of a second, then to half a one: full jitter', () => {
    expect(pauses(again('outage'), { random: 0 })).toEqual([0, 0]);
    expect(pauses(again('outage'), { random: 0.5 })).toEqual([125, 250]);
    expect(pauses(again('outage'), { random: 0.999 })).toEqual([249.75, 499.5]);
  });

  it('is as long as the vendor asks for at least, and nobody comes back in step', () => {
    expect(pauses(again('too_frequent', { retryAfter: 2 }), { random: 0 })).toEqual([2_000, 2_000]);
    expect(pauses(again('too_frequent', { retryAfter: 2 }), { random: 0.5 })).toEqual([2_125, 2_250]);
  });

  it('that would take longer than the budget is none: the fault is final', () => {
    expect(pauses(again('too_frequent', { retryAfter: 8 }))).toEqual([]);
    expect(pauses(again('too_frequent', { retryAfter: 3_600 }))).toEqual([]);
    expect(pauses(again('outage'), { attemptMs: BUDGET_MS - 50 })).toEqual([]);
  });
});
