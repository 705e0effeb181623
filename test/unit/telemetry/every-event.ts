import { BrokerError, ERRORS, type ErrorCode } from '../../../src/token/errors.ts';
import type { Urgency } from '../../../src/token/login-queue.ts';
import type {
  AdminRefusal,
  LimitName,
  Observer,
  ReadOutcome,
  RedisErrorKind,
  RenewalCause,
  RenewalOutcome,
  SessionOutcome,
} from '../../../src/token/observer.ts';
import { accountId } from '../../../src/token/subject.ts';
import { FAULT_KINDS } from '../vendor-api/every-fault.ts';

/** The values of a type. The compiler refuses a list that lacks one. */
function all<Value extends string>(values: Readonly<Record<Value, true>>): Value[] {
  return Object.keys(values) as Value[];
}

const CODES = Object.keys(ERRORS) as ErrorCode[];
export const ACCOUNT = accountId('account');
export const READS = all<ReadOutcome>({ memory: true, redis: true, login: true, waited: true, fallback: true });
export const LIMITS = all<LimitName>({ requests: true, logins: true, refused_tokens: true });
export const KINDS = all<RedisErrorKind>({
  timeout: true,
  connection: true,
  readonly: true,
  oom: true,
  misconf: true,
  noperm: true,
  loading: true,
  not_sent: true,
  other: true,
});
const CAUSES = all<RenewalCause>({ new: true, due: true, refused: true, background: true });
const RENEWALS = all<RenewalOutcome>({ login: true, waited: true });
const SESSIONS = all<Exclude<SessionOutcome, ErrorCode>>({
  cached: true,
  accepted: true,
  kept: true,
  malformed: true,
  unknown_key: true,
});
const URGENCIES = all<Urgency>({ foreground: true, background: true });

/** The calls of each event, with every value of a label. */
export const EVENTS: { readonly [Event in keyof Observer]: readonly Parameters<Observer[Event]>[] } = {
  tokenServed: READS.map((outcome) => [outcome, 3_600_000]),
  readFailed: CODES.map((code) => [new BrokerError(code)]),
  renewalEnded: CAUSES.flatMap((cause) => RENEWALS.map((outcome): [RenewalCause, RenewalOutcome] => [cause, outcome])),
  renewalFailed: CAUSES.flatMap((cause) =>
    CODES.map((code): [RenewalCause, unknown] => [cause, new BrokerError(code)]),
  ),
  wroteBack: all<Parameters<Observer['wroteBack']>[0]>({ saved: true, outdated: true }).map((outcome) => [outcome]),
  rateLimited: LIMITS.map((limit) => [limit]),
  renewalClaimed: [[2_500]],
  backlogSeen: [[17]],
  overdueSeen: [[90_000]],
  endedUnrenewed: [[]],
  loginSent: [[]],
  loginEnded: (['success', 'busy', ...FAULT_KINDS] as const).map((outcome) => [outcome, undefined, 300, 100, ACCOUNT]),
  accountClosed: [[]],
  budgetWaited: URGENCIES.map((urgency) => [urgency, 400]),
  budgetDenied: URGENCIES.map((urgency) => [urgency]),
  sessionChecked: [...SESSIONS, ...CODES].map((outcome) => [outcome]),
  redisAsked: KINDS.map(() => []),
  redisFailed: KINDS.map((kind) => [kind]),
  storeLostData: all<Parameters<Observer['storeLostData']>[0]>({ lost: true, went_back: true }).map((history) => [
    history,
  ]),
  adminRefused: all<AdminRefusal>({ missing: true, wrong: true }).map((reason) => [reason]),
  secretsReloaded: [[true], [false]],
};

/** Reports every possible event of this name to an observer, once. */
export function reportEvents(observer: Observer, name: keyof Observer): void {
  for (const values of EVENTS[name]) Reflect.apply(observer[name], observer, values);
}

/** Reports every possible event to an observer, once. */
export function reportEveryEvent(observer: Observer): void {
  for (const name of Object.keys(EVENTS)) reportEvents(observer, name as keyof Observer);
}
