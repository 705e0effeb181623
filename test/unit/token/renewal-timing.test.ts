import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { ERRORS, type ErrorCode } from '../../../src/token/errors.ts';
import {
  coolDownMs,
  coolsDown,
  dueAt,
  dueOnceRead,
  isRenewedInBackground,
  type RefreshPolicy,
  type RefreshShare,
  refreshAt,
  replacedValidToken,
  retryAt,
  servableUntil,
  waitFrom,
} from '../../../src/token/renewal-timing.ts';
import type { SdkToken } from '../../../src/token/sdk-token.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { tokenRecord } from './records.ts';
import { anySubject } from './subjects.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const NOW = 1_800_000_000_000;
const USUAL: RefreshShare = { from: 0.7, to: 0.9 };

/** Lifetimes up to 400 days, the longest that the broker accepts from the vendor. */
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

function renewAt(life: Omit<SdkToken, 'fields'>, share: RefreshShare, subject: Subject, generation: number): number {
  return refreshAt(tokenRecord({ token: { ...life, fields: {} }, subject, generation }), { ...PROACTIVE, share });
}

/** The shares of a lifetime at which `count` accounts are due. */
function shares(count: number, generation: number): number[] {
  const life = { issuedAt: 0, expiresAt: 1 };
  return Array.from({ length: count }, (_, number) =>
    renewAt(life, USUAL, { app: 'default', unionId: `account-${number}`, uniqueId: 'phone' }, generation),
  );
}

describe('a token', () => {
  test('is due between the two shares of its lifetime, when reads start to wait at the latest, and while it may be returned', () => {
    fc.assert(
      fc.property(anyLife, anyShare(0.99), anySubject, fc.nat(), (life, share, subject, generation) => {
        const at = renewAt(life, share, subject, generation);
        const lifeMs = life.expiresAt - life.issuedAt;
        expect(at).toBeGreaterThanOrEqual(Math.min(life.issuedAt + lifeMs * share.from, waitFrom(life)));
        expect(at).toBeLessThanOrEqual(Math.min(life.issuedAt + lifeMs * share.to, waitFrom(life)));
        expect(at).toBeLessThan(servableUntil(life));
      }),
    );
  });

  test.each([
    { life: '10 s', lifeMs: 10 * SECOND, waitsMs: SECOND, withheldMs: 500 },
    { life: '60 s', lifeMs: MINUTE, waitsMs: 6 * SECOND, withheldMs: 3 * SECOND },
    { life: '10 min', lifeMs: 10 * MINUTE, waitsMs: MINUTE, withheldMs: 10 * SECOND },
    { life: '30 days', lifeMs: 30 * DAY, waitsMs: MINUTE, withheldMs: 10 * SECOND },
  ])(
    'with a lifetime of $life: reads wait in the last $waitsMs ms, and do not get it in the last $withheldMs ms',
    (example) => {
      const life = { issuedAt: NOW, expiresAt: NOW + example.lifeMs };
      expect(life.expiresAt - waitFrom(life)).toBe(example.waitsMs);
      expect(life.expiresAt - servableUntil(life)).toBe(example.withheldMs);
    },
  );
});

describe('the due time', () => {
  test('is spread evenly over the accounts', () => {
    const bins = new Array<number>(10).fill(0);
    for (const share of shares(1_000, 1)) {
      const bin = Math.floor(((share - USUAL.from) / (USUAL.to - USUAL.from)) * bins.length);
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    const chiSquare = bins.reduce((sum, count) => sum + (count - 100) ** 2 / 100, 0);
    expect(bins).toHaveLength(10);
    // For 9 degrees of freedom, an even spread exceeds this value with a probability of 0.1 %.
    expect(chiSquare).toBeLessThan(27.88);
  });

  test('differs in each generation, so that two accounts do not stay synchronized', () => {
    const first = shares(1_000, 1);
    const second = shares(1_000, 2);
    expect(first.filter((share, index) => share === second[index])).toHaveLength(0);
    const mean = 0.8;
    const product = first.reduce((sum, share, index) => sum + (share - mean) * ((second[index] ?? 0) - mean), 0);
    const variance = first.reduce((sum, share) => sum + (share - mean) ** 2, 0);
    expect(Math.abs(product / variance)).toBeLessThan(0.15);
  });

  test('depends only on subject and generation, so it is the same on every replica and in every release', () => {
    const subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
    expect(renewAt({ issuedAt: 0, expiresAt: 10 ** 9 }, USUAL, subject, 1)).toBeCloseTo(722_193_521.2146, 3);
  });
});

const PROACTIVE: RefreshPolicy = { mode: 'proactive', share: USUAL, unreadLimit: 3 };
const ON_DEMAND: RefreshPolicy = { ...PROACTIVE, mode: 'on-demand' };

describe('a token whose app is refused with the one before it', () => {
  const share = { from: 0.5, to: 0.8 };
  test.each([
    ['came from a background renewal, in the time that this left to the former token', {}, 19_999, true],
    ['came from one, after that time: the former token may have ended by itself', {}, 20_000, false],
    ['came from a login for an app', { unreadRenewals: 0 }, 0, false],
    [
      'came from a second background renewal: the app may have the token before the last',
      { unreadRenewals: 2 },
      0,
      false,
    ],
    ['came from a background renewal of former settings', { mode: 'on-demand' as const }, 0, false],
  ])(
    '%s',
    (_, {
      mode = 'proactive',
      unreadRenewals = 1,
    }: { mode?: RefreshPolicy['mode']; unreadRenewals?: number }, ageMs, isFound) => {
      const token = { issuedAt: NOW, expiresAt: NOW + 100_000, unreadRenewals };
      expect(replacedValidToken(token, { mode, share, unreadLimit: 3 }, NOW + ageMs)).toBe(isFound);
    },
  );
});

describe('a record', () => {
  test('that an app has read is renewed in the background, whatever its number of unread renewals', () => {
    fc.assert(
      fc.property(fc.nat(255), (unreadRenewals) => {
        expect(isRenewedInBackground(tokenRecord({ read: true, unreadRenewals }), PROACTIVE)).toBe(true);
      }),
    );
  });

  test.each([0, 1, 2, 3, 4, 255])('unread for %i renewals is renewed in the background below a limit of 3', (count) => {
    expect(isRenewedInBackground(tokenRecord({ unreadRenewals: count }), PROACTIVE)).toBe(count < 3);
  });

  test('is never renewed in the background in the mode on-demand', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.nat(255), (read, unreadRenewals) => {
        expect(isRenewedInBackground(tokenRecord({ read, unreadRenewals }), ON_DEMAND)).toBe(false);
      }),
    );
  });

  test('is due at its refresh time if it is renewed in the background, or else at its expiry', () => {
    const used = tokenRecord({ read: true });
    const idle = tokenRecord({ unreadRenewals: 3 });
    expect(dueAt(used, PROACTIVE)).toBe(refreshAt(used, PROACTIVE));
    expect(dueAt(used, PROACTIVE)).toBeLessThan(used.token.expiresAt);
    expect(dueAt(idle, PROACTIVE)).toBe(idle.token.expiresAt);
    expect(dueAt(used, ON_DEMAND)).toBe(used.token.expiresAt);
  });

  test('that no app has read is due as if an app had read it, once one has', () => {
    const idle = tokenRecord({ unreadRenewals: 3 });
    expect(dueOnceRead(idle, PROACTIVE)).toBe(refreshAt(idle, PROACTIVE));
    expect(dueOnceRead(idle, ON_DEMAND)).toBe(idle.token.expiresAt);
  });

  test('is due at once if another login may have ended its token', () => {
    const record = tokenRecord({ suspect: true });
    expect(dueAt(record, PROACTIVE)).toBe(record.token.issuedAt);
  });

  test('has a refresh time that depends on its subject and generation, also in the mode on-demand', () => {
    const record = tokenRecord();
    expect(refreshAt(record, ON_DEMAND)).toBe(refreshAt(record, PROACTIVE));
    expect(refreshAt(record, PROACTIVE, subjectId(record.subject))).toBe(refreshAt(record, PROACTIVE));
    expect(refreshAt({ ...record, generation: record.generation + 1 }, PROACTIVE)).not.toBe(
      refreshAt(record, PROACTIVE),
    );
  });
});

const clockAt = (random: number) => ({ ...systemClock, now: () => NOW, random: () => random });

/** Delay of the next attempt, without jitter, for a token that the broker may return for another `leftMs`. */
function delayOf(leftMs: number): number {
  const expiresAt = NOW + leftMs + 10 * SECOND;
  return retryAt({ issuedAt: expiresAt - 30 * DAY, expiresAt }, 'vendor_unavailable', clockAt(0.5)) - NOW;
}

describe('the next attempt after a failed renewal', () => {
  test.each([
    { left: 'three days', leftMs: 3 * DAY, delayMs: 300 * SECOND },
    { left: 'twenty minutes', leftMs: 1_200 * SECOND, delayMs: 300 * SECOND },
    { left: 'ten minutes', leftMs: 600 * SECOND, delayMs: 150 * SECOND },
    { left: 'eight seconds', leftMs: 8 * SECOND, delayMs: 2 * SECOND },
    { left: 'four seconds', leftMs: 4 * SECOND, delayMs: SECOND },
    { left: 'nothing', leftMs: 0, delayMs: SECOND },
    { left: 'less than nothing', leftMs: -DAY, delayMs: SECOND },
  ])(
    'comes after a quarter of the time left, at least 1 s and at most 5 min: $delayMs ms for $left',
    ({ leftMs, delayMs }) => {
      expect(delayOf(leftMs)).toBe(delayMs);
    },
  );

  test('comes after about a second if only the login budget was exhausted', () => {
    const life = { issuedAt: NOW - DAY, expiresAt: NOW + DAY };
    expect(retryAt(life, 'vendor_busy', clockAt(0.5))).toBe(NOW + SECOND);
  });

  test('never comes earlier than the vendor asks, and exactly when the login queue asks', () => {
    const life = { issuedAt: NOW - DAY, expiresAt: NOW + DAY };
    expect(retryAt(life, 'vendor_unavailable', clockAt(0.5), 3_600 * SECOND)).toBe(NOW + 3_600 * SECOND);
    expect(retryAt(life, 'vendor_unavailable', clockAt(0.5), 299 * SECOND)).toBe(NOW + 300 * SECOND);
    expect(retryAt(life, 'vendor_busy', clockAt(0.5), 40)).toBe(NOW + 40);
  });

  test('has a random jitter from half to one and a half of that delay', () => {
    const life = { issuedAt: NOW - DAY, expiresAt: NOW + DAY };
    expect(retryAt(life, 'vendor_unavailable', clockAt(0))).toBe(NOW + 150 * SECOND);
    expect(retryAt(life, 'vendor_unavailable', clockAt(0.999))).toBeCloseTo(NOW + 1.499 * 300 * SECOND, 3);
  });
});

describe('the cool-down of a subject', () => {
  test('starts with its second failure in a row, doubles with each further one, and ends at 15 s', () => {
    const failures = [0, 1, 2, 3, 4, 5, 6, 7, 8, 100];
    expect(failures.map(coolDownMs)).toEqual([0, 0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  });

  test('follows the failures that a later login may not have: of the vendor, and not of the login queue', () => {
    const codes = Object.keys(ERRORS) as ErrorCode[];
    expect(codes.filter(coolsDown)).toEqual(['vendor_unavailable', 'vendor_timeout']);
  });
});
