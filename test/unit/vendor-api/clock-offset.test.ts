import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClockOffset } from '../../../src/vendor-api/domains.ts';

/** The `Date` header of a vendor whose clock is `skew` ms ahead and that answers at `at` (by the broker's clock). */
function dateOf(at: number, skew: number): number {
  return Math.floor((at + skew) / 1000) * 1000;
}

describe('the clock offset', () => {
  it('is 0 before the first answer', () => expect(new ClockOffset(() => undefined).ms).toBe(0));

  it('is wrong by at most half the duration of the exchange plus one second', () => {
    const input = fc.record({
      skew: fc.integer({ min: -1e9, max: 1e9 }),
      sentAt: fc.integer({ min: 1.6e12, max: 1.8e12 }),
      there: fc.nat(5000),
      back: fc.nat(5000),
    });
    fc.assert(
      fc.property(input, ({ skew, sentAt, there, back }) => {
        const offset = new ClockOffset(() => undefined);
        const vendorDate = dateOf(sentAt + there, skew);
        offset.observe({ vendorDate, sentAt, receivedAt: sentAt + there + back });
        const error = Math.abs(offset.ms - skew);
        expect(error).toBeLessThanOrEqual(offset.ms === 0 ? 3000 + there + back : 1000 + (there + back) / 2);
      }),
    );
  });

  it('is 0 while the clocks agree, however slow the answer', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(10_000), fc.nat(999), (there, back, fraction) => {
        const offset = new ClockOffset(() => undefined);
        const sentAt = 1_700_000_000_000 + fraction;
        offset.observe({ vendorDate: dateOf(sentAt + there, 0), sentAt, receivedAt: sentAt + there + back });
        expect(offset.ms).toBe(0);
      }),
    );
  });

  it('is 0 again when the clocks agree again', () => {
    const offset = new ClockOffset(() => undefined);
    offset.observe({ vendorDate: 1_700_000_600_000, sentAt: 1_700_000_000_000, receivedAt: 1_700_000_000_000 });
    expect(offset.ms).toBe(600_500);
    offset.observe({ vendorDate: 1_700_000_000_000, sentAt: 1_700_000_000_400, receivedAt: 1_700_000_000_500 });
    expect(offset.ms).toBe(0);
  });

  it.each([
    [2_000, 0, 0],
    [2_001, 0, 2_001],
    [-2_000, 0, 0],
    [-2_001, 0, -2_001],
    [2_500, 1_000, 0],
    [2_501, 1_000, 2_501],
  ])('of %i ms is measured as it is if the exchange of %i ms cannot explain it: %3$i ms', (skew, tripMs, ms) => {
    const offset = new ClockOffset(() => undefined);
    const sentAt = 1_700_000_000_000;
    // Half of the exchange, and half a second because the header is cut to the second.
    offset.observe({ vendorDate: sentAt + tripMs / 2 + skew - 500, sentAt, receivedAt: sentAt + tripMs });
    expect(offset.ms).toBe(ms);
  });

  it.each([
    [30_000, undefined],
    [30_001, 'warn'],
    [120_000, 'warn'],
    [120_001, 'error'],
    [-30_000, undefined],
    [-120_001, 'error'],
  ])('of %i ms is reported as %s', (skew, level) => {
    const reports: unknown[] = [];
    const offset = new ClockOffset((reported, ms) => reports.push([reported, ms]));
    const sentAt = 1_700_000_000_000;
    offset.observe({ vendorDate: sentAt + skew - 500, sentAt, receivedAt: sentAt });
    expect(reports).toEqual(level === undefined ? [] : [[level, skew]]);
  });

  it('reports each change of level once: above 30 s, above 120 s, and back', () => {
    const reports: unknown[] = [];
    const offset = new ClockOffset((level, ms) => reports.push([level, ms]));
    const sentAt = 1_700_000_000_000;
    for (const skew of [20_000, 40_000, 41_000, 130_000, 131_000, 0, 40_000, -130_000, -40_000, -41_000]) {
      offset.observe({ vendorDate: sentAt + skew, sentAt, receivedAt: sentAt });
    }
    expect(reports).toEqual([
      ['warn', 40_500],
      ['error', 130_500],
      ['warn', 40_500],
      ['error', -129_500],
      ['warn', -39_500],
    ]);
  });
});
