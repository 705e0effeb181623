import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { NO_COUNTS, NO_SHARES } from '../../../src/telemetry/finding-facts.ts';
import {
  countingObserver,
  countsByMinute,
  MinuteCounts,
  recentCounts,
  steadyTime,
} from '../../../src/telemetry/last-hour.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { LoginOutcome } from '../../../src/token/observer.ts';
import { type AccountId, accountId } from '../../../src/token/subject.ts';
import { TestClock } from '../../support/test-clock.ts';
import { ACCOUNT, reportEveryEvent } from './every-event.ts';

const MINUTE_MS = 60_000;
const zeros = (length: number) => Array.from({ length }, () => 0);

/** The counts behind `GET /status`, on a clock that begins with a whole minute. */
function startCounts() {
  const clock = new TestClock();
  clock.advance(MINUTE_MS - (clock.now() % MINUTE_MS));
  const counts = countsByMinute(clock);
  const { observer } = createMetrics({ version: '1.2.3', vendorResults: [] });
  return { clock, counts, observer: countingObserver(observer, counts) };
}

describe('the last hour', () => {
  test('has the counts of each minute by outcome, with the current minute last', () => {
    const { clock, counts, observer } = startCounts();
    observer.tokenServed('memory', 1_000);
    clock.advance(MINUTE_MS);
    observer.tokenServed('memory', 1_000);
    observer.tokenServed('memory', 1_000);
    observer.readFailed(new BrokerError('vendor_timeout'));
    clock.advance(2 * MINUTE_MS);
    observer.tokenServed('redis', 1_000);
    expect(counts.reads.series()).toEqual({
      memory: [...zeros(57), 1, 2, 0, 0],
      vendor_timeout: [...zeros(57), 0, 1, 0, 0],
      redis: [...zeros(57), 0, 0, 0, 1],
    });
  });

  test('adds renewals of all causes, and logins of all codes of the vendor', () => {
    const { counts, observer } = startCounts();
    observer.renewalEnded('background', 'login');
    observer.renewalEnded('new', 'login');
    observer.renewalFailed('due', new Error('unknown'));
    observer.loginEnded('success', 0, 100, 0, ACCOUNT);
    observer.loginEnded('request', 10_016, 100, 0, ACCOUNT);
    observer.loginEnded('request', 10_017, 100, 0, ACCOUNT);
    observer.sessionChecked('session_invalid');
    expect(counts.renewals.series()).toEqual({ login: [...zeros(60), 2], internal: [...zeros(60), 1] });
    expect(counts.logins.series()).toEqual({ success: [...zeros(60), 1], request: [...zeros(60), 2] });
    expect(counts.sessions.series()).toEqual({ session_invalid: [...zeros(60), 1] });
  });

  test('has the failed renewals of the background alone, and each login request', () => {
    const { counts, observer } = startCounts();
    observer.renewalFailed('background', new BrokerError('vendor_timeout'));
    observer.renewalFailed('due', new BrokerError('vendor_timeout'));
    observer.loginSent();
    expect(counts.failedRenewals.within(5)).toEqual({ vendor_timeout: 1 });
    expect(counts.loginsSent.within(5)).toEqual({ login: 1 });
  });

  test('counts in the metrics too', async () => {
    const clock = new TestClock();
    const metrics = createMetrics({ version: '1.2.3', vendorResults: [] });
    const every = createMetrics({ version: '1.2.3', vendorResults: [] });
    reportEveryEvent(countingObserver(metrics.observer, countsByMinute(clock)));
    reportEveryEvent(every.observer);
    const ours = async ({ scrape }: typeof metrics) => (await scrape()).body.match(/^sdk_token_broker.*$/gm);
    expect(await ours(metrics)).toEqual(await ours(every));
  });

  test('forgets what is older than 60 whole minutes, also after a long silence', () => {
    const { clock, counts, observer } = startCounts();
    observer.tokenServed('memory', 1_000);
    clock.advance(60 * MINUTE_MS);
    expect(counts.reads.series()).toEqual({ memory: [1, ...zeros(60)] });
    expect(counts.reads.within(60)).toEqual({ memory: 1 });
    clock.advance(MINUTE_MS);
    expect(counts.reads.series()).toEqual({});
    expect(counts.reads.within(60)).toEqual({});
    clock.advance(7 * 24 * 60 * MINUTE_MS);
    observer.tokenServed('memory', 1_000);
    expect(counts.reads.series()).toEqual({ memory: [...zeros(60), 1] });
  });

  test.each([-180, 180])(
    'has no event that is older than an hour, and no other loses one, after the clock was set by %i minutes',
    (minutes) => {
      const { clock, counts, observer } = startCounts();
      observer.readFailed(new BrokerError('vendor_timeout'));
      clock.advance(90 * MINUTE_MS);
      clock.jump(minutes * MINUTE_MS);
      observer.tokenServed('memory', 1_000);
      expect(counts.reads.series()).toEqual({ memory: [...zeros(60), 1] });
      clock.advance(MINUTE_MS);
      observer.tokenServed('redis', 1_000);
      clock.advance(MINUTE_MS);
      observer.tokenServed('login', 1_000);
      expect(counts.reads.series()).toEqual({
        memory: [...zeros(58), 1, 0, 0],
        redis: [...zeros(59), 1, 0],
        login: [...zeros(60), 1],
      });
    },
  );
});

describe('the numbers behind findings', () => {
  test('are of five minutes, and leave out logins that were not sent', () => {
    const { clock, counts, observer } = startCounts();
    for (let token = 0; token < 2; token += 1) observer.endedUnrenewed();
    observer.loginEnded('timeout', undefined, 100, 0, ACCOUNT);
    clock.advance(6 * MINUTE_MS);
    const logins = ['success', 'busy', 'busy', 'timeout', 'circuit_open', 'circuit_open', 'clock_skew'] as const;
    for (const outcome of logins) observer.loginEnded(outcome, undefined, 100, 0, ACCOUNT);
    for (const outcome of ['request', 'account_closed'] as const) {
      observer.loginEnded(outcome, undefined, 9_000, 0, ACCOUNT);
    }
    observer.accountClosed();
    // Its own wait makes no login slow.
    observer.loginEnded('success', 0, 5_000, 2_000, ACCOUNT);
    observer.loginEnded('success', 0, 5_001, 2_000, ACCOUNT);
    for (const code of ['vendor_busy', 'account_disabled'] as const) observer.readFailed(new BrokerError(code));
    observer.tokenServed('fallback', 1_000);
    const checks = ['cached', 'malformed', 'session_invalid', 'session_expired', 'session_check_unavailable'] as const;
    for (const outcome of checks) observer.sessionChecked(outcome);
    const shares = {
      logins: 7,
      failedLogins: 1,
      rejectedLogins: 2,
      slowLogins: 1,
      closedAccounts: 1,
      sessions: 4,
      refusedSessions: 2,
      uncheckedSessions: 1,
      reads: 3,
      failedReads: 1,
    };
    expect(recentCounts(counts)).toEqual({
      counts: { ...NO_COUNTS, ...shares, halfHourLogins: 8, halfHourFailedLogins: 3, endedTokens: 2 },
      lately: shares,
      reasons: {
        logins: 'timeout',
        reads: 'vendor_busy',
        rejections: { reason: 'clock_skew' },
        refusals: 'session_expired',
      },
    });
    clock.advance(MINUTE_MS);
    expect(recentCounts(counts).lately).toEqual(shares);
    clock.advance(10_000);
    expect(recentCounts(counts)).toMatchObject({ counts: shares, lately: NO_SHARES });
  });

  test('count each account whose token a renewal has ended once a day, and at most 1,000', () => {
    const { clock, counts, observer } = startCounts();
    const ended = () => recentCounts(counts).counts.endedByRenewals;
    for (const account of [ACCOUNT, undefined, accountId('other'), ACCOUNT]) {
      observer.tokenServed('redis', 1_000, account);
    }
    expect(ended()).toBe(2);
    clock.advance(24 * 60 * MINUTE_MS + 1);
    expect(ended()).toBe(0);
    for (let account = 0; account < 1_001; account += 1) {
      observer.tokenServed('redis', 1_000, accountId(`account-${account}`));
    }
    expect(ended()).toBe(1_000);
  });

  test('have the reason of now, and without a failure now the one of before', () => {
    const { clock, counts, observer } = startCounts();
    const fail = (outcome: LoginOutcome, times: number) => {
      for (let login = 0; login < times; login += 1) observer.loginEnded(outcome, undefined, 1, 0, ACCOUNT);
    };
    fail('timeout', 20);
    clock.advance(2 * MINUTE_MS);
    expect(recentCounts(counts).reasons.logins).toBe('timeout');
    fail('unreachable', 2);
    expect(recentCounts(counts).reasons.logins).toBe('unreachable');
  });

  test('count failed reads of one account in a row once, and all of two accounts', () => {
    const { counts, observer } = startCounts();
    const [mad, other] = [accountId('mad'), accountId('other')];
    const fail = (account?: AccountId) => observer.readFailed(new BrokerError('vendor_busy'), account);
    const reads = () => {
      const { reads, failedReads } = recentCounts(counts).counts;
      return { reads, failedReads };
    };
    for (let read = 0; read < 900; read += 1) fail(mad);
    for (let read = 0; read < 9; read += 1) observer.tokenServed('memory', 1_000);
    expect(reads()).toEqual({ reads: 10, failedReads: 1 });
    expect(counts.reads.within(5)).toEqual({ vendor_busy: 900, memory: 9 });
    for (const account of [other, mad, other]) fail(account);
    expect(reads()).toEqual({ reads: 13, failedReads: 4 });
    // Without a session, it is not known whose they are.
    for (let read = 0; read < 3; read += 1) fail();
    expect(reads()).toEqual({ reads: 16, failedReads: 7 });
  });

  test('have the same reason in each minute of an hour, if two are equally frequent', () => {
    const { clock, counts, observer } = startCounts();
    const reasons = Array.from({ length: 61 }, () => {
      clock.advance(MINUTE_MS);
      observer.loginEnded('unreachable', undefined, 100, 0, ACCOUNT);
      clock.advance(MINUTE_MS);
      observer.loginEnded('timeout', undefined, 100, 0, ACCOUNT);
      clock.advance(2 * MINUTE_MS);
      return recentCounts(counts).reasons.logins;
    });
    expect(new Set(reasons)).toEqual(new Set(['timeout']));
  });

  test('have the refused logins of all accounts, the most frequent code, and no row of one account', () => {
    const { counts, observer } = startCounts();
    const refuse = (outcome: LoginOutcome, code: number, account: string) =>
      observer.loginEnded(outcome, code, 100, 0, accountId(account));
    for (let login = 0; login < 20; login += 1) refuse('request', 10_016, 'one');
    refuse('account_closed', 10_902_013, 'closed');
    const rejected = () => {
      const { counts: of, reasons } = recentCounts(counts);
      return [of.rejectedLogins, reasons.rejections];
    };
    expect(rejected()).toEqual([1, { reason: 'request', vendorCode: 10_016 }]);
    for (let login = 0; login < 6; login += 1) refuse('request', 10_003, `account-${login}`);
    refuse('configuration', 10_007, 'one');
    expect(rejected()).toEqual([8, { reason: 'request', vendorCode: 10_003 }]);
  });

  test('tell one account with failing logins from several, since the last success and for half an hour', () => {
    const { clock, counts, observer } = startCounts();
    const failedAccounts = () => recentCounts(counts).counts.failedAccounts;
    const end = (outcome: LoginOutcome, account: string) =>
      observer.loginEnded(outcome, undefined, 100, 0, accountId(account));
    for (const outcome of ['timeout', 'configuration', 'timeout'] as const) end(outcome, 'alice');
    for (const outcome of ['busy', 'circuit_open'] as const) end(outcome, 'bob');
    expect(failedAccounts()).toBe(1);
    end('timeout', 'bob');
    end('timeout', 'carol');
    expect(failedAccounts()).toBe(2);
    end('request', 'dave');
    expect(failedAccounts()).toBe(0);
    end('timeout', 'alice');
    clock.advance(20 * MINUTE_MS);
    end('too_frequent', 'bob');
    expect(recentCounts(counts)).toMatchObject({ counts: { failedAccounts: 2 }, reasons: { logins: 'too_frequent' } });
    clock.advance(10 * MINUTE_MS + 1);
    expect(recentCounts(counts)).toMatchObject({ counts: { failedAccounts: 1 }, reasons: { logins: 'timeout' } });
    end('success', 'dave');
    expect(failedAccounts()).toBe(0);
  });
});

describe('the series of the last hour', () => {
  test.each([-1, 1])('begin with the minute of their first count if the wall clock is %i ms off', (ms) => {
    const { clock, counts, observer } = startCounts();
    const start = clock.now();
    // A timer for a whole minute fires when one of the two clocks has not reached it yet.
    clock.advance(MINUTE_MS - (ms < 0 ? 0 : 1));
    clock.jump(ms);
    observer.tokenServed('memory', 1_000);
    const { from, reads } = counts.lastHour();
    const at = (reads['memory'] ?? []).indexOf(1);
    expect(Date.parse(from) + at * MINUTE_MS).toBe(ms < 0 ? start + MINUTE_MS : start);
  });

  test('are of the same hour, although a minute begins while they are read', () => {
    const { clock, counts, observer } = startCounts();
    observer.tokenServed('memory', 1_000);
    observer.sessionChecked('accepted');
    clock.advance(MINUTE_MS - 1);
    const { monotonic } = clock;
    clock.monotonic = () => {
      const now = monotonic.call(clock);
      clock.advance(1);
      return now;
    };
    const { reads, sessions } = counts.lastHour();
    expect(sessions['accepted']).toEqual(reads['memory']);
    expect(reads['memory']).toEqual([...zeros(60), 1]);
  });
});

function createCounts() {
  const { clock } = startCounts();
  return { clock, counts: new MinuteCounts<'one' | 'two'>(steadyTime(clock)) };
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

  test('take no more memory after a month than after an hour', () => {
    const { clock, counts } = createCounts();
    const countFor = (hours: number) => {
      for (let slot = 0; slot < hours * 360; slot += 1) {
        counts.add('one');
        clock.advance(MINUTE_MS / 6);
      }
      setFlagsFromString('--expose-gc');
      runInNewContext('gc')();
      return process.memoryUsage().heapUsed / 2 ** 20;
    };
    const afterAnHour = countFor(2);
    expect(countFor(30 * 24) - afterAnHour).toBeLessThan(10);
    expect(counts.within(60)).toEqual({ one: 360 });
  });

  test('are those of the last 60 to 70 s too, also across minutes and hours', () => {
    const { clock, counts } = createCounts();
    for (let second = 0; second < 2 * 3_600; second += 1) {
      counts.add('one');
      clock.advance(1_000);
      const late = counts.lately().one ?? 0;
      expect(late === Math.min(second + 1, 60 + ((second + 1) % 10))).toBe(true);
    }
    clock.advance(3_600_000);
    expect(counts.lately()).toEqual({});
  });

  test.each([2, 10, 300])('are right again at once after the clock was set back by %i minutes', (minutes) => {
    const { clock, counts } = createCounts();
    counts.add('one');
    clock.jump(-minutes * MINUTE_MS);
    for (let minute = 0; minute < 10; minute += 1) {
      counts.add('two');
      clock.advance(MINUTE_MS);
    }
    expect(counts.within(5)).toEqual({ two: 5 });
    expect(counts.within(60)).toEqual({ one: 1, two: 10 });
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
