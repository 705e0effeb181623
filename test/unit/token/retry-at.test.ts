import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { retryAt, servableUntil } from '../../../src/token/renewal-timing.ts';

const SECOND = 1_000;
const DAY = 86_400 * SECOND;
const NOW = 1_800_000_000_000;

const clockAt = (chance: number) => ({ ...systemClock, now: () => NOW, random: () => chance });

/** How long a token that may still be served for `leftMs` waits for its next try, without jitter. */
function delayOf(leftMs: number): number {
  const expiresAt = NOW + leftMs + 10 * SECOND;
  return retryAt({ issuedAt: expiresAt - 30 * DAY, expiresAt }, 'vendor_unavailable', clockAt(0.5)) - NOW;
}

describe('the next try after a failed renewal', () => {
  test.each([
    { left: 'three days', leftMs: 3 * DAY, delayMs: 300 * SECOND },
    { left: 'twenty minutes', leftMs: 1_200 * SECOND, delayMs: 300 * SECOND },
    { left: 'ten minutes', leftMs: 600 * SECOND, delayMs: 150 * SECOND },
    { left: 'eight seconds', leftMs: 8 * SECOND, delayMs: 2 * SECOND },
    { left: 'four seconds', leftMs: 4 * SECOND, delayMs: SECOND },
    { left: 'nothing', leftMs: 0, delayMs: SECOND },
    { left: 'less than nothing', leftMs: -DAY, delayMs: SECOND },
  ])('is a quarter of what is left, one second to five minutes: $delayMs ms for $left', ({ leftMs, delayMs }) => {
    expect(delayOf(leftMs)).toBe(delayMs);
  });

  test('comes after about a second where only our own budget was in the way', () => {
    const life = { issuedAt: NOW - DAY, expiresAt: NOW + DAY };
    expect(retryAt(life, 'vendor_busy', clockAt(0.5))).toBe(NOW + SECOND);
  });

  test('is half to one and a half of that, by chance', () => {
    const life = { issuedAt: NOW - DAY, expiresAt: NOW + DAY };
    expect(retryAt(life, 'vendor_unavailable', clockAt(0))).toBe(NOW + 150 * SECOND);
    expect(retryAt(life, 'vendor_unavailable', clockAt(0.999))).toBeCloseTo(NOW + 1.499 * 300 * SECOND, 3);
  });

  test('comes while the token may still be served, as long as there are two seconds left', () => {
    const life = fc.record({
      lifeMs: fc.integer({ min: SECOND, max: 400 * DAY }),
      agedBy: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(life, chance, ({ lifeMs, agedBy }, random) => {
        const issuedAt = NOW - Math.floor(lifeMs * agedBy);
        const token = { issuedAt, expiresAt: issuedAt + lifeMs };
        fc.pre(servableUntil(token) - NOW >= 2 * SECOND);
        const at = retryAt(token, 'vendor_unavailable', clockAt(random));
        expect(at).toBeLessThan(servableUntil(token));
        expect(at).toBeGreaterThanOrEqual(NOW + SECOND / 2);
      }),
    );
  });
});
