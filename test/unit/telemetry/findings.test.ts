import { describe, expect, test } from 'vitest';
import {
  type FoundFacts,
  NO_COUNTS,
  NO_SHARES,
  type RecentCounts,
  type ReplicaFacts,
  type ShareCounts,
  type ShareName,
  shareNames,
  THRESHOLDS,
} from '../../../src/telemetry/finding-facts.ts';
import { asFinding } from '../../../src/telemetry/finding-sentences.ts';
import { replicaFindings } from '../../../src/telemetry/findings.ts';
import { differenceOf, fleetFindings } from '../../../src/telemetry/fleet-findings.ts';
import { FINDING_CODES, type FindingCode, runbookOf } from '../../../src/token/findings.ts';
import { readFile } from '../../support/documents.ts';
import { headingsOf } from '../../support/markdown.ts';
import { DOMAIN, factsAt, failingContact } from './facts.ts';

const NOW = Date.parse('2026-11-26T14:10:00.000Z');
/** The monotonic clock. */
const MONOTONIC = 7 * 86_400_000;
const MINUTE_MS = 60_000;
const AT = { now: () => NOW, monotonic: () => MONOTONIC };
const FINE: ReplicaFacts = { ...factsAt(AT), counts: { ...NO_COUNTS, logins: 100, sessions: 100, reads: 100 } };

/** What has happened in the last five minutes happened lately, too. */
const withCounts = (counts: Partial<RecentCounts>): ReplicaFacts => {
  const recent = { ...FINE.counts, ...counts };
  return { ...FINE, counts: recent, lately: recent };
};
const withRedis = (redis: Partial<NonNullable<ReplicaFacts['redis']>>): ReplicaFacts => {
  return { ...FINE, redis: { outage: undefined, refusedWrites: undefined, losses: [], ...redis } };
};
const failing = (reason: string, ms: number, failures: number, agoMs = 1_000) =>
  failingContact(AT, reason, ms, failures, agoMs);
const withDomain = (changes: Partial<ReplicaFacts['vendorDomains'][number]>): ReplicaFacts => {
  return { ...FINE, vendorDomains: [{ ...DOMAIN, ...changes }] };
};
const openCircuit = (ms: number, agoMs: number) =>
  withDomain({ circuit: 'open', ...failing('unreachable', ms, 20, agoMs) });
const withSessionServer = (sessionServer: ReplicaFacts['sessionServer']): ReplicaFacts => ({ ...FINE, sessionServer });
const refused = (kind: 'oom' | 'readonly' | 'misconf' | 'noperm', ms: number) =>
  withRedis({ refusedWrites: failing(kind, ms, 1, 0) });
const lossAgo = (history: 'lost' | 'went_back', ms: number) =>
  withRedis({ losses: [{ history, at: NOW - ms, monotonic: MONOTONIC - ms }] });

const certificateEnding = (ms: number) => ({ ...FINE, certificates: [{ host: 'redis:6379', endsAt: NOW + ms }] });

const codesOf = (found: readonly FoundFacts[]) => found.map(({ code }) => code);
const DAY_MS = 24 * 60 * MINUTE_MS;

describe('what a replica finds', () => {
  test('a Redis that went back does not hide that it had lost its data before', () => {
    const losses = [...(lossAgo('lost', 20_000).redis?.losses ?? []), ...(lossAgo('went_back', 0).redis?.losses ?? [])];
    expect(codesOf(replicaFindings(withRedis({ losses }))).sort()).toEqual(['redis_lost_data', 'redis_went_back']);
  });

  /** Facts as a function of one number, its value at the threshold, and one that is no finding yet. */
  test.each<[FindingCode, string, (value: number) => ReplicaFacts, number, number]>([
    ['redis_unreachable', 'no answer for 5 s', (ms) => withRedis({ outage: failing('timeout', ms, 3) }), 5_000, 4_999],
    ['redis_unreachable', 'three failures', (times) => withRedis({ outage: failing('timeout', 105_000, times) }), 3, 2],
    ['redis_refuses_writes', 'full for 3 s', (ms) => refused('oom', ms), 3_000, 2_999],
    ['redis_refuses_writes', 'read-only for 3 s', (ms) => refused('readonly', ms), 3_000, 2_999],
    ['redis_refuses_writes', 'a full disk for 3 s', (ms) => refused('misconf', ms), 3_000, 2_999],
    ['redis_refuses_writes', 'a missing right for 3 s', (ms) => refused('noperm', ms), 3_000, 2_999],
    ['redis_lost_data', 'within a day', (ms) => lossAgo('lost', ms), DAY_MS - 1, DAY_MS],
    ['redis_went_back', 'within a day', (ms) => lossAgo('went_back', ms), DAY_MS - 1, DAY_MS],
    ['vendor_down', 'an open circuit for 20 s', (ms) => openCircuit(ms, 1_000), 20_000, 19_999],
    ['vendor_down', 'a failure in the last 15 minutes', (agoMs) => openCircuit(DAY_MS, agoMs), 899_999, 900_000],
    ['vendor_down', '20 failures in 5 minutes', (times) => withDomain(failing('timeout', 300_000, times)), 20, 19],
    ['vendor_down', 'no success for 5 minutes', (ms) => withDomain(failing('timeout', ms, 20)), 300_000, 299_999],
    ['vendor_rejects', '20 refusals', (times) => withDomain(failing('configuration', 300_000, times)), 20, 19],
    ['vendor_rejects', '5 logins', (count) => withCounts({ rejectedLogins: count }), 5, 4],
    ['vendor_rejects', '5 % of the logins', (logins) => withCounts({ rejectedLogins: 5, logins }), 100, 101],
    ['vendor_fails_logins', '10 logins', (count) => withCounts({ failedLogins: count, logins: count }), 10, 9],
    ['vendor_fails_logins', '10 % of the logins', (logins) => withCounts({ failedLogins: 10, logins }), 100, 101],
    ['vendor_slow', '10 logins', (count) => withCounts({ slowLogins: count, logins: count }), 10, 9],
    ['vendor_slow', '20 % of the logins', (logins) => withCounts({ slowLogins: 20, logins }), 100, 101],
    ['accounts_closed', '10 accounts', (count) => withCounts({ closedAccounts: count, logins: count }), 10, 9],
    ['accounts_closed', 'one for 20 logins', (logins) => withCounts({ closedAccounts: 10, logins }), 200, 201],
    ['renewals_end_tokens', '5 accounts', (endedByRenewals) => withCounts({ endedByRenewals }), 5, 4],
    ['tokens_ended', 'one token', (endedTokens) => withCounts({ endedTokens }), 1, 0],
    ['sessions_refused', '10 sessions', (count) => withCounts({ refusedSessions: count, sessions: count }), 10, 9],
    ['sessions_refused', 'half of the sessions', (sessions) => withCounts({ refusedSessions: 50, sessions }), 100, 101],
    ['session_check_fails', '10 sessions', (count) => withCounts({ uncheckedSessions: count, sessions: count }), 10, 9],
    ['session_check_fails', '5 %', (sessions) => withCounts({ uncheckedSessions: 10, sessions }), 200, 201],
    [
      'session_check_fails',
      '20 failed questions',
      (times) => withSessionServer(failing('HTTP 500', 300_000, times)),
      20,
      19,
    ],
    ['reads_fail', '10 reads', (count) => withCounts({ failedReads: count, reads: count }), 10, 9],
    ['reads_fail', '5 % of the reads', (reads) => withCounts({ failedReads: 10, reads }), 200, 201],
    ['clock_differs', "30 s from the vendor's", (ms) => withDomain({ clockOffsetMs: -ms }), 30_000, 29_999],
    ['clock_differs', '30 s from Redis', (clockOffsetMs) => ({ ...FINE, clockOffsetMs }), 30_000, 29_999],
    ['certificate_ends', 'less than 14 days', certificateEnding, 14 * DAY_MS - 1, 14 * DAY_MS],
  ])('%s: %s, and no less', (code, _, factsOf, value, noFinding) => {
    expect(codesOf(replicaFindings(factsOf(value)))).toEqual([code]);
    expect(codesOf(replicaFindings(factsOf(noFinding)))).toEqual([]);
  });

  test.each<[string, ReplicaFacts]>([
    ['all is well', FINE],
    ['nothing has happened yet', { ...FINE, counts: NO_COUNTS, vendorDomains: [], clockOffsetMs: undefined }],
    ['the store is in this process', { ...FINE, redis: undefined }],
    [
      'five reads at night all fail, and their sessions are refused',
      withCounts({ reads: 5, failedReads: 5, sessions: 5, refusedSessions: 5 }),
    ],
    ['two timeouts of Redis are 105 s apart', withRedis({ outage: failing('timeout', 105_000, 2) })],
    [
      'one account has two failing logins',
      { ...withDomain(failing('unknown', 16 * MINUTE_MS, 6)), counts: atNight(2, 1) },
    ],
    ['all five logins of one account fail at night', withCounts(atNight(5, 1))],
    [
      'a circuit is open that nobody has needed since',
      withDomain({ circuit: 'open', ...failing('timeout', DAY_MS, 40, DAY_MS) }),
    ],
  ])('is nothing if %s', (_, facts) => expect(replicaFindings(facts)).toEqual([]));

  test('names the share, the domain and the reason', () => {
    const [partial] = replicaFindings({
      ...withCounts({ failedLogins: 59, logins: 99 }),
      reasons: { logins: 'timeout' },
    });
    expect(partial).toEqual({ code: 'vendor_fails_logins', count: 59, share: 0.6, reason: 'timeout' });
    const expired = failing('unreachable', 20_000, 1);
    const lastFailure = { ...expired.lastFailure, problem: 'CERT_HAS_EXPIRED' };
    const [down] = replicaFindings(withDomain({ circuit: 'half-open', ...expired, lastFailure }));
    const reason = 'unreachable: CERT_HAS_EXPIRED';
    expect(down).toEqual({ code: 'vendor_down', host: 'vendor.example', since: NOW - 20_000, reason });
  });

  describe('with one of two domains down', () => {
    const down = { ...DOMAIN, host: 'eu.example', circuit: 'open' as const, ...failing('unreachable', 60_000, 9) };
    const cn = (reason: string | undefined, agoMs = 1_000) => {
      const failed = reason ? { lastFailure: { at: NOW - agoMs, reason }, failedMonotonic: MONOTONIC - agoMs } : {};
      return { ...DOMAIN, host: 'cn.example', ...failed };
    };
    const found = (other: ReplicaFacts['vendorDomains'][number], counts: Partial<RecentCounts>) =>
      codesOf(replicaFindings({ ...withCounts(counts), vendorDomains: [down, other] }));

    test.each<[string, string, Partial<RecentCounts>, readonly FindingCode[]]>([
      [
        'what the other one rejects and fails',
        'configuration',
        { rejectedLogins: 40, failedLogins: 20, failedReads: 60 },
        ['vendor_rejects', 'vendor_down', 'vendor_fails_logins', 'reads_fail'],
      ],
      [
        'reads that fail at the other one',
        'timeout',
        { failedLogins: 9, failedReads: 60 },
        ['vendor_down', 'reads_fail'],
      ],
    ])('shows %s', (_, reason, counts, codes) => {
      expect(new Set(found(cn(reason), counts))).toEqual(new Set(codes));
    });

    test.each([
      ['has not failed', cn(undefined)],
      ['failed before the time that counts', cn('timeout', 6 * MINUTE_MS)],
      ['is down too', { ...down, host: 'cn.example' }],
    ])('shows the outage alone if the other one %s', (_, other) => {
      expect(new Set(found(other, { failedLogins: 60 }))).toEqual(new Set(['vendor_down']));
    });
  });

  test('says what is most urgent first, and once', () => {
    const facts = {
      ...withCounts({ failedLogins: 100, failedReads: 100, endedTokens: 3 }),
      vendorDomains: [{ ...DOMAIN, circuit: 'open' as const, ...failing('outage', 60_000, 9), clockOffsetMs: 90_000 }],
    };
    // What apps notice is said also if the outage explains it.
    expect(codesOf(replicaFindings(facts))).toEqual(['vendor_down', 'reads_fail', 'tokens_ended', 'clock_differs']);
  });

  test.each<[string, Partial<RecentCounts>, string[]]>([
    ['five logins of two accounts fail, and none succeeds', atNight(5, 2), ['vendor_fails_logins']],
    ['no more than four fail', atNight(4, 2), []],
    ['one succeeds', { ...atNight(5, 2), halfHourLogins: 6 }, []],
    [
      'one succeeds before five fail within minutes',
      { ...atNight(5, 2), logins: 5, failedLogins: 5, halfHourLogins: 99 },
      ['vendor_fails_logins'],
    ],
  ])('at night, says that no login succeeds only if %s', (_, counts, expected) => {
    expect(codesOf(replicaFindings({ ...FINE, counts: { ...NO_COUNTS, ...counts } }))).toEqual(expected);
  });

  test('at night, tells a vendor that refuses the app from one that fails', () => {
    const facts = { ...FINE, counts: { ...NO_COUNTS, ...atNight(5, 2) }, reasons: { logins: 'configuration' } };
    expect(replicaFindings(facts)).toEqual([{ code: 'vendor_rejects', share: 1, reason: 'configuration' }]);
  });
});

/** Logins of the last half hour that all failed. */
function atNight(failed: number, accounts: number) {
  return { ...NO_COUNTS, halfHourLogins: failed, halfHourFailedLogins: failed, failedAccounts: accounts };
}

/** Five minutes of good results. */
const BUSY = { ...NO_COUNTS, logins: 3_000, sessions: 3_000, reads: 3_000 };

describe('a share', () => {
  const found = (counts: Partial<ShareCounts>, lately: Partial<ShareCounts>, standing: ShareName[] = []) => {
    const facts = { ...FINE, counts: { ...BUSY, ...counts }, lately: { ...NO_SHARES, ...lately } };
    return replicaFindings(
      facts,
      new Map(standing.map((name) => [name, { share: 0, of: Number.POSITIVE_INFINITY }])),
    ).map(({ code, share }) => ({ code, share }));
  };
  const names = Object.keys(THRESHOLDS.shares) as (keyof typeof THRESHOLDS.shares)[];

  test.each(names)(
    'of %s is found within 20 s after a busy time with good results, and no blip of a second is',
    (name) => {
      const { of, code } = THRESHOLDS.shares[name];
      // Ten a second, and all of the last 20 s fail. Accounts that were closed are counted for five minutes.
      const share = name === 'closedAccounts' ? 0.07 : 20 / 25;
      expect(found({ [name]: 200 }, { [of]: 250, [name]: 200 })).toContainEqual({ code, share });
      expect(found({ [name]: 10 }, { [of]: 250, [name]: 10 })).toEqual([]);
      expect(found({ [name]: 4 }, { [of]: 4, [name]: 4 })).toEqual([]);
    },
  );

  test('is over soon after the vendor was repaired, but not because of a few successes', () => {
    const broken = { logins: 200, failedLogins: 120 };
    const expected = [{ code: 'vendor_fails_logins', share: 0.6 }];
    expect(found(broken, { logins: 25, failedLogins: 0 }, ['failedLogins'])).toEqual([]);
    expect(found(broken, { logins: 25, failedLogins: 1 }, ['failedLogins'])).toEqual([]);
    expect(found(broken, { logins: 24, failedLogins: 0 }, ['failedLogins'])).toEqual(expected);
  });

  test.each([
    ['the last five minutes', (share: number) => found({ failedReads: 3_000 * share }, {}, ['failedReads']), 0.025],
    [
      'the last minutes',
      (share: number) => found({}, { reads: 1_000, failedReads: 1_000 * share }, ['failedReads']),
      0.05,
    ],
  ])('that was found stays until it is half as large, in %s', (_, of, half) => {
    expect(of(half)).toEqual([{ code: 'reads_fail', share: expect.any(Number) }]);
    expect(of(half - 0.002)).toEqual([]);
  });

  test('does not come back because of the past alone: what was repaired must fail again', () => {
    const past = { logins: 1_000, failedLogins: 600 };
    for (const logins of [10, 100]) {
      expect(found(past, { logins, failedLogins: 0.04 * logins })).toEqual([]);
      expect(found(past, { logins, failedLogins: 0.05 * logins })).toHaveLength(1);
    }
    expect(found(past, { logins: 9, failedLogins: 9 })).toHaveLength(1);
    for (const logins of [0, 2, 9]) expect(found(past, { logins })).toEqual([]);
  });

  test('of closed accounts stays for five minutes, because they are locked out', () => {
    const of = (lately: Partial<ShareCounts>) =>
      replicaFindings({
        ...FINE,
        counts: { ...BUSY, logins: 200, closedAccounts: 100, slowLogins: 100 },
        lately: { ...NO_SHARES, ...lately },
      });
    const slow = { code: 'vendor_slow', share: 1 };
    const closed = { code: 'accounts_closed', count: 100, share: 0.5 };
    for (const closedAccounts of [0, 10]) {
      const lately = { logins: 20, slowLogins: 20, closedAccounts };
      expect(of(lately)).toEqual([closed, expect.objectContaining(slow)]);
    }
    expect(of({})).toEqual([closed]);
    expect(asFinding({ ...closed, code: 'accounts_closed' }, NOW).message).toMatch(
      /^The vendor has closed accounts: 100 within six minutes, in 50 % of the logins\./,
    );
  });

  test.each<[string, Partial<ShareCounts>, Partial<ShareCounts>, number]>([
    [
      'that of the last minutes, while a fault is new',
      { reads: 300, failedReads: 42 },
      { reads: 45, failedReads: 30 },
      0.67,
    ],
    [
      'that of the last minutes, while a fault ends',
      { reads: 300, failedReads: 84 },
      { reads: 100, failedReads: 5 },
      0.05,
    ],
    ['that of five minutes with few events lately', { reads: 100, failedReads: 30 }, { reads: 3, failedReads: 3 }, 0.3],
  ])('that is told is %s', (_, counts, lately, share) => {
    expect(found(counts, lately, ['failedReads'])).toEqual([{ code: 'reads_fail', share }]);
  });

  test('of another kind with the same code does not make a small share a finding', () => {
    const few = { rejectedLogins: 4, logins: 100 };
    expect(found(few, few, ['failedLogins'])).toEqual([]);
    expect(found(few, few, ['rejectedLogins'])).toEqual([{ code: 'vendor_rejects', share: 0.04 }]);
  });

  test('of logins that the vendor refuses for any reason names its code', () => {
    const reasons = { rejections: { reason: 'request', vendorCode: 10_003 } };
    const [refused] = replicaFindings({ ...withCounts({ rejectedLogins: 60, logins: 100 }), reasons });
    expect(refused).toEqual({ code: 'vendor_rejects', count: 60, share: 0.6, ...reasons.rejections });
    expect(asFinding(refused as FoundFacts, NOW).message).toBe(
      'The vendor refuses 60 % of the logins, most with code 10003. Ask the vendor why.',
    );
  });
});

const REPLICA = {
  replica: 'a',
  version: '1.0.0',
  startedAt: NOW - DAY_MS,
  configuredAt: NOW - DAY_MS,
  findings: [],
  clockOffsetMs: 0,
  configuration: 'c1',
  missingSince: undefined,
};
const OUTLOOK = { dueWithin: [7], total: 9, overdueMs: 0 };

describe('what only a fleet shows', () => {
  type Fleet = Parameters<typeof fleetFindings>;
  const foundNow = (replicas: Fleet[0], outlook: Fleet[1]) =>
    fleetFindings(replicas, outlook, NOW, differenceOf(replicas)?.since);

  test('a missing replica', () => {
    const missing = { ...REPLICA, replica: 'b', missingSince: NOW - 60_000 };
    expect(foundNow([REPLICA, missing], OUTLOOK)).toEqual([
      { code: 'replica_missing', count: 1, since: NOW - 60_000, replicas: ['b'] },
    ]);
  });

  describe('at once the ids of the keys, by replica, if one lacks the key with which another encrypts', () => {
    const replicaWith = (replica: string, id: string, ...digests: string[]) => {
      return { ...REPLICA, replica, configuration: digests.join(), keyRing: { id, digests }, configuredAt: NOW };
    };
    const [old, appended, moved, replaced] = [
      replicaWith('a', 'k1', '1'),
      replicaWith('b', 'k1', '1', '2'),
      replicaWith('c', 'k2', '2', '1'),
      replicaWith('d', 'k2', '2'),
    ];
    test.each([
      [[old, replaced], 'k1 (a), k2 (d)'],
      [[old, moved], 'k1 (a), k2 (c)'],
      [[old, { ...old, replica: 'b' }, appended, replaced], 'k1 (a, b, b), k2 (d)'],
      [[old, replicaWith('d', 'k1', '3')], 'k1 (a), k1 (d)'],
      [[replicaWith('a', 'off', 'off'), old], 'k1 (a), off (a)'],
      [[old, appended], undefined],
      [[appended, moved], undefined],
      [[moved, replaced], undefined],
      // Of an earlier version.
      [[old, { ...replaced, keyRing: undefined }], undefined],
    ])('%#', (replicas, reason) => {
      const found = foundNow(replicas, OUTLOOK);
      expect(found).toMatchObject(reason === undefined ? [] : [{ code: 'configuration_differs', reason, since: NOW }]);
      for (const one of found) expect(asFinding(one, NOW).message).toContain(`different keys: ${reason}. Give`);
    });
  });

  test.each([
    ['configuration', { configuration: 'c2' }],
    ['version', { version: '1.1.0' }],
  ])('another %s, once no replica has got its own within five minutes', (_, change) => {
    const other = (configuredAt: number) => ({ ...REPLICA, replica: 'b', ...change, configuredAt });
    const since = NOW - THRESHOLDS.configurationMs;
    // The fewer ones are named. Of as many, none is the odd one.
    const found = { code: 'configuration_differs', since };
    expect(foundNow([REPLICA, other(since)], OUTLOOK)).toEqual([{ ...found, replicas: ['a', 'b'] }]);
    expect(foundNow([REPLICA, { ...REPLICA, replica: 'c' }, other(since)], OUTLOOK)).toEqual([
      { ...found, count: 1, replicas: ['b'] },
    ]);
    expect(foundNow([REPLICA, other(since + 1)], OUTLOOK)).toEqual([]);
    expect(foundNow([REPLICA, { ...other(since), missingSince: NOW }], OUTLOOK)).toMatchObject([
      { code: 'replica_missing' },
    ]);
  });

  test('renewals that are five minutes late', () => {
    const late = { code: 'renewals_late', count: 7, seconds: 300 };
    expect(foundNow([REPLICA], { ...OUTLOOK, overdueMs: 300_000 })).toEqual([late]);
    expect(foundNow([REPLICA], { ...OUTLOOK, overdueMs: 299_999 })).toEqual([]);
    expect(foundNow([REPLICA], undefined)).toEqual([]);
  });
});

describe('each finding', () => {
  test.each(FINDING_CODES)('%s has a sentence with and without facts, and a section of the runbooks', (code) => {
    const facts = { code, count: 12, share: 0.5, host: 'vendor.example', reason: 'oom', seconds: 90, replicas: ['a'] };
    for (const { message } of [asFinding(facts, NOW), asFinding({ code }, NOW)]) {
      expect(message).toMatch(/^[A-Z\d].*[^ ]\.$/);
      expect(message).not.toMatch(/undefined|NaN| {2}/);
    }
    if (shareNames(code).length > 0) expect(asFinding(facts, NOW).message).toContain('50 %');
    const [document, anchor] = runbookOf(code).split('#');
    expect(document).toBe('docs/runbooks.md');
    expect(asFinding({ code, count: 1 }, NOW).message).not.toMatch(/\b1 tokens/);
    expect(headingsOf(readFile('docs/runbooks.md')).map((heading) => heading.anchor)).toContain(anchor);
  });
});
