import { BrokerError, ERRORS, type ErrorCode } from '../../../src/token/errors.ts';
import type {
  LimitName,
  LoginOutcome,
  Observer,
  ReadOutcome,
  RedisErrorKind,
  RenewalCause,
  RenewalOutcome,
} from '../../../src/token/observer.ts';
import { accountId } from '../../../src/token/subject.ts';

export const READS: readonly ReadOutcome[] = ['memory', 'redis', 'login', 'waited', 'fallback'];
const CAUSES: readonly RenewalCause[] = ['new', 'due', 'refused', 'background'];
const RENEWALS: readonly RenewalOutcome[] = ['login', 'waited'];
export const LIMITS: readonly LimitName[] = ['requests', 'logins', 'refused_tokens'];
export const KINDS: readonly RedisErrorKind[] = [
  'timeout',
  'connection',
  'readonly',
  'oom',
  'misconf',
  'loading',
  'not_sent',
  'other',
];
const LOGINS: readonly LoginOutcome[] = [
  'success',
  'busy',
  'clock_skew',
  'configuration',
  'request',
  'too_frequent',
  'maintenance',
  'account_closed',
  'unknown',
  'timeout',
  'unreachable',
  'outage',
  'too_large',
  'broken_answer',
  'circuit_open',
];
const CODES = Object.keys(ERRORS) as ErrorCode[];
export const ACCOUNT = accountId('account');

/** Reports every possible event to an observer, once. */
export function reportEveryEvent(observer: Observer): void {
  for (const outcome of READS) observer.tokenServed(outcome, 3_600_000);
  for (const code of CODES) observer.readFailed(new BrokerError(code));
  for (const cause of CAUSES) {
    for (const outcome of RENEWALS) observer.renewalEnded(cause, outcome);
    for (const code of CODES) observer.renewalFailed(cause, new BrokerError(code));
  }
  observer.backgroundRenewalRead();
  observer.coolingDown('vendor_unavailable');
  observer.coolingDown('vendor_timeout');
  observer.wroteBack('saved');
  observer.wroteBack('outdated');
  for (const limit of LIMITS) observer.rateLimited(limit);
  observer.renewalClaimed(2_500);
  observer.backlogSeen(17);
  observer.overdueSeen(90_000);
  observer.endedUnrenewed(2);
  observer.loginSent();
  for (const outcome of LOGINS) observer.loginEnded(outcome, undefined, 300, 100, ACCOUNT);
  observer.accountClosed();
  for (const urgency of ['foreground', 'background'] as const) {
    observer.budgetWaited(urgency, 400);
    observer.budgetDenied(urgency);
  }
  for (const status of ['closed', 'half-open', 'open'] as const) observer.circuitChanged('vendor.example', status);
  observer.lastLoginSeen('vendor.example', 1_700_000_000_000);
  observer.clockOffsetSeen('vendor.example', -15_000);
  for (const outcome of ['cached', 'accepted', 'kept', ...CODES] as const) observer.sessionChecked(outcome);
  for (const kind of KINDS) {
    observer.redisAsked();
    observer.redisFailed(kind);
  }
  for (const history of ['lost', 'went_back'] as const) observer.storeLostData(history);
  observer.adminRefused('missing');
  observer.adminRefused('wrong');
  for (const outcome of ['changed', 'unchanged', 'refused'] as const) observer.secretsReloaded(outcome);
}
