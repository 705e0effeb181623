import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { measureOffset } from '../../../src/vendor-api/exchange.ts';

const SENT_AT = 1_700_000_000_000;

/** The `Date` header of a vendor whose clock is `skew` ms ahead and that answers at `at` (by the broker's clock). */
function dateOf(at: number, skew: number): number {
  return Math.floor((at + skew) / 1000) * 1000;
}

describe('the clock offset', () => {
  it('is wrong by at most half the duration of the exchange plus one second', () => {
    const input = fc.record({
      skew: fc.integer({ min: -1e9, max: 1e9 }),
      sentAt: fc.integer({ min: 1.6e12, max: 1.8e12 }),
      there: fc.nat(5000),
      back: fc.nat(5000),
    });
    fc.assert(
      fc.property(input, ({ skew, sentAt, there, back }) => {
        const offsetMs = measureOffset(dateOf(sentAt + there, skew), sentAt, there + back);
        const error = Math.abs(offsetMs - skew);
        expect(error).toBeLessThanOrEqual(offsetMs === 0 ? 3000 + there + back : 1000 + (there + back) / 2);
      }),
    );
  });

  it('is 0 while the clocks agree, however slow the answer', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(10_000), fc.nat(999), (there, back, fraction) => {
        const sentAt = SENT_AT + fraction;
        expect(measureOffset(dateOf(sentAt + there, 0), sentAt, there + back)).toBe(0);
      }),
    );
  });

  it.each([
    [2_000, 0, 0],
    [2_001, 0, 2_001],
    [-2_000, 0, 0],
    [-2_001, 0, -2_001],
    [2_500, 1_000, 0],
    [2_501, 1_000, 2_501],
  ])('of %i ms is measured as it is if the exchange of %i ms cannot explain it: %3$i ms', (skew, tripMs, ms) => {
    // Half of the exchange, and half a second because the header is cut to the second.
    expect(measureOffset(SENT_AT + tripMs / 2 + skew - 500, SENT_AT, tripMs)).toBe(ms);
  });
});
