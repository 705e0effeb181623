import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExpireTime } from '../../../src/vendor-api/answer.ts';

const SENT_AT = 1_700_000_000_250;
const DAY = 86_400_000;

describe('expireTime', () => {
  it.each([
    ['epoch seconds', '1702592000', 1_702_592_000_000],
    ['epoch milliseconds', '1702592000123', 1_702_592_000_123],
    ['a lifetime', '7200', SENT_AT + 7_200_000],
    ['the shortest lifetime', '1', SENT_AT + 1000],
    ['the longest lifetime', String(400 * 86_400), SENT_AT + 400 * DAY],
    ['the first millisecond ahead', '1700000000251', SENT_AT + 1],
    ['leading zeros', '0001702592000', 1_702_592_000_000],
  ])('is read as %s', (_, text, instant) => expect(readExpireTime(text, SENT_AT)).toBe(instant));

  it.each([
    ['an empty string', '', /whole number/],
    ['a fraction', '1702592000.5', /whole number/],
    ['an exponent', '1.7e9', /whole number/],
    ['hexadecimal', '0x65f1', /whole number/],
    ['a sign', '-1', /whole number/],
    ['spaces', ' 7200', /whole number/],
    ['a word', 'never', /whole number/],
    ['a lifetime of 0', '0', /future/],
    ['a second ago', '1699999999', /future/],
    ['the current millisecond', '1700000000250', /future/],
    ['the smallest value that is not a lifetime', '1000000000', /future/],
    ['the last value in seconds', '100000000000', /400 days/],
    ['the first value in milliseconds', '100000000001', /future/],
    ['the largest lifetime', '999999999', /400 days/],
    ['401 days', String(401 * 86_400), /400 days/],
    ['400 days and a millisecond', String(SENT_AT + 400 * DAY + 1), /400 days/],
    ['too large for a double', '9'.repeat(400), /400 days/],
  ])('that is %s is a broken answer', (_, text, problem) =>
    expect(() => readExpireTime(text, SENT_AT)).toThrow(problem),
  );

  it('gives the same instant as a lifetime, in seconds and in milliseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 * 86_400 }), fc.integer({ min: 1.5e9, max: 4e9 }), (life, sent) => {
        const ends = (sent + life) * 1000;
        for (const value of [life, sent + life, ends]) expect(readExpireTime(String(value), sent * 1000)).toBe(ends);
      }),
    );
  });

  it('never gives an instant in the past or more than 400 days ahead', () => {
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(1e9), fc.integer({ min: 1.6e9, max: 1.8e9 })), (value) => {
        let instant: number | undefined;
        try {
          instant = readExpireTime(String(value), SENT_AT);
        } catch {
          return;
        }
        expect(instant).toBeGreaterThan(SENT_AT);
        expect(instant).toBeLessThanOrEqual(SENT_AT + 400 * DAY);
      }),
      { numRuns: 1000 },
    );
  });
});
