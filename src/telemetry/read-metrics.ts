import type { Registry } from 'prom-client';
import { ERRORS, type ErrorCode } from '../token/errors.ts';
import type { LimitName, Observer, ReadOutcome, SessionOutcome } from '../token/observer.ts';
import { errorCodeOf, TalliedHistogram, Tally } from './fast-counters.ts';

/** What alerts are made of: a rate sees no first event of a series that was not there before. */
const FAILURES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => ERRORS[code].status >= 500);
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LEFT_TO_LIVE = [5, 15, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR];
const DAYS_TO_LIVE = [1, 3, 7, 14, 21, 30].map((days) => days * DAY);

/** What apps ask for, and what they get. */
export function readMetrics(
  registry: Registry,
): Pick<Observer, 'tokenServed' | 'readFailed' | 'sessionChecked' | 'rateLimited'> {
  const sessionChecks = new Tally<SessionOutcome>({
    registry,
    name: 'sdk_token_broker_session_checks_total',
    help: 'Sessions checked, by whether they were believed. Callers who share one check count once.',
    label: 'outcome',
    values: ['cached', 'accepted', 'kept', 'session_invalid', 'session_expired', 'session_check_unavailable'],
  });
  const limits = new Tally<LimitName>({
    registry,
    name: 'sdk_token_broker_rate_limit_refusals_total',
    help: 'Requests refused with `rate_limited`, by the limit that was reached.',
    label: 'limit',
    values: ['requests', 'logins', 'refused_tokens'],
  });
  const reads = new Tally<ReadOutcome | ErrorCode>({
    registry,
    name: 'sdk_token_broker_reads_total',
    help: 'Reads of a token, by where it came from or the error they ended with.',
    label: 'outcome',
    values: ['memory', 'redis', 'login', 'waited', 'fallback', ...FAILURES],
  });
  const leftToLive = new TalliedHistogram({
    registry,
    name: 'sdk_token_broker_served_token_expiry_seconds',
    help: 'What tokens had left to live when they were handed out.',
    buckets: [...LEFT_TO_LIVE, ...DAYS_TO_LIVE],
  });
  return {
    tokenServed(outcome, leftMs) {
      reads.add(outcome);
      leftToLive.add(leftMs / 1_000);
    },
    readFailed: (error) => reads.add(errorCodeOf(error)),
    sessionChecked: (outcome) => sessionChecks.add(outcome),
    rateLimited: (limit) => limits.add(limit),
  };
}
