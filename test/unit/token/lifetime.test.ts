import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RefreshShare, renewAt, servableUntil, waitFrom } from '../../../src/token/renewal-timing.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { anySubject } from './subjects.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const ISSUED_AT = 1_800_000_000_000;
const USUAL: RefreshShare = { from: 0.7, to: 0.9 };

/** Lives up to the longest the vendor's answer may name: 400 days. */
const anyLife = fc
  .record({
    issuedAt: fc.integer({ min: 10 ** 12, max: 4 * 10 ** 12 }),
    lifeMs: fc.integer({ min: 1, max: 400 * DAY }),
  })
  .map(({ issuedAt, lifeMs }) => ({ issuedAt, expiresAt: issuedAt + lifeMs }));

function anyShare(most: number): fc.Arbitrary<RefreshShare> {
  const share = fc.double({ min: 0.01, max: most, noNaN: true });
  return fc.tuple(share, share).map(([one, other]) => ({ from: Math.min(one, other), to: Math.max(one, other) }));
}

/** The shares of a life at which `count` accounts renew. */
function shares(count: number, generation: number): number[] {
  const life = { issuedAt: 0, expiresAt: 1 };
  return Array.from({ length: count }, (_, number) =>
    renewAt(life, USUAL, subjectId({ app: 'default', unionId: `account-${number}`, uniqueId: 'phone' }), generation),
  );
}

describe('a token’s life', () => {
  test('is renewed between the two shares, at the latest when reads begin to wait for it', () => {
    fc.assert(
      fc.property(anyLife, anyShare(0.99), anySubject, fc.nat(), (life, share, subject, generation) => {
        const at = renewAt(life, share, subjectId(subject), generation);
        const lifeMs = life.expiresAt - life.issuedAt;
        expect(at).toBeGreaterThanOrEqual(Math.min(life.issuedAt + lifeMs * share.from, waitFrom(life)));
        expect(at).toBeLessThanOrEqual(Math.min(life.issuedAt + lifeMs * share.to, waitFrom(life)));
      }),
    );
  });

  test('is renewed while the token may still be served', () => {
    fc.assert(
      fc.property(anyLife, anyShare(0.99), anySubject, fc.nat(), (life, share, subject, generation) => {
        expect(renewAt(life, share, subjectId(subject), generation)).toBeLessThan(servableUntil(life));
      }),
    );
  });

  test('runs in order: issued, worth waiting for, no longer served, expired', () => {
    fc.assert(
      fc.property(anyLife, (life) => {
        expect(waitFrom(life)).toBeGreaterThan(life.issuedAt);
        expect(servableUntil(life)).toBeGreaterThanOrEqual(waitFrom(life));
        expect(life.expiresAt).toBeGreaterThanOrEqual(servableUntil(life));
      }),
    );
  });

  test.each([
    { life: '10 s', lifeMs: 10 * SECOND, waitsMs: SECOND, withheldMs: 500 },
    { life: '60 s', lifeMs: MINUTE, waitsMs: 6 * SECOND, withheldMs: 3 * SECOND },
    { life: '10 min', lifeMs: 10 * MINUTE, waitsMs: MINUTE, withheldMs: 10 * SECOND },
    { life: '30 days', lifeMs: 30 * DAY, waitsMs: MINUTE, withheldMs: 10 * SECOND },
  ])('of $life: a read waits for the last $waitsMs ms, is given nothing old for the last $withheldMs', (example) => {
    const life = { issuedAt: ISSUED_AT, expiresAt: ISSUED_AT + example.lifeMs };
    expect(life.expiresAt - waitFrom(life)).toBe(example.waitsMs);
    expect(life.expiresAt - servableUntil(life)).toBe(example.withheldMs);
  });

  test('of 30 days is renewed from day 21 to day 27', () => {
    const life = { issuedAt: ISSUED_AT, expiresAt: ISSUED_AT + 30 * DAY };
    fc.assert(
      fc.property(anySubject, fc.nat(), (subject, generation) => {
        const day = (renewAt(life, USUAL, subjectId(subject), generation) - ISSUED_AT) / DAY;
        expect(day).toBeGreaterThanOrEqual(21);
        expect(day).toBeLessThanOrEqual(27);
      }),
    );
  });
});

describe('the instant of renewal', () => {
  test('is spread evenly over the accounts', () => {
    const bins = new Array<number>(10).fill(0);
    for (const share of shares(1_000, 1)) {
      const bin = Math.floor(((share - USUAL.from) / (USUAL.to - USUAL.from)) * bins.length);
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    const chiSquare = bins.reduce((sum, count) => sum + (count - 100) ** 2 / 100, 0);
    expect(bins).toHaveLength(10);
    // Nine degrees of freedom: an even spread exceeds this once in a thousand times.
    expect(chiSquare).toBeLessThan(27.88);
  });

  test('is drawn anew for each generation, so that two accounts do not stay in step', () => {
    const first = shares(1_000, 1);
    const second = shares(1_000, 2);
    expect(first.filter((share, index) => share === second[index])).toHaveLength(0);
    const mean = 0.8;
    const product = first.reduce((sum, share, index) => sum + (share - mean) * ((second[index] ?? 0) - mean), 0);
    const variance = first.reduce((sum, share) => sum + (share - mean) ** 2, 0);
    expect(Math.abs(product / variance)).toBeLessThan(0.15);
  });

  test('is a hash of subject and generation, so the same on every replica and in every release', () => {
    const id = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });
    expect(renewAt({ issuedAt: 0, expiresAt: 10 ** 9 }, USUAL, id, 1)).toBeCloseTo(722_193_521.2146, 3);
  });
});
