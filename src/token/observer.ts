import type { ErrorCode, SessionFault } from './errors.ts';
import type { Urgency } from './login-queue.ts';
import type { AccountId } from './subject.ts';

/**
 * The source of a served token. `login`: a login for this read. `waited`: the login of another request or replica.
 * `fallback`: the old token, because its renewal failed or took too long.
 */
export type ReadOutcome = 'memory' | 'redis' | 'login' | 'waited' | 'fallback';

/** `new`: an app waits for a first token. `due`: an app waits. `refused`: by the vendor. `background`: no app waits. */
export type RenewalCause = 'new' | 'due' | 'refused' | 'background';

/** `login`: by its own login. `waited`: by the login of another request or replica. */
export type RenewalOutcome = 'login' | 'waited';

/** The meanings of a vendor's result code for the broker, and whose logins the vendor refuses by it. */
const RESULT_KINDS = {
  success: undefined,
  clock_skew: 'all',
  configuration: 'all',
  request: 'account',
  too_frequent: undefined,
  maintenance: undefined,
  account_closed: 'account',
  unknown: undefined,
} satisfies Record<string, 'account' | 'all' | undefined>;

export type ResultKind = keyof typeof RESULT_KINDS;

const refusalsOf = (whose: 'account' | 'all') =>
  (Object.keys(RESULT_KINDS) as ResultKind[]).filter((kind) => RESULT_KINDS[kind] === whose);

/** The refusals of one account. They are no faults of the vendor. */
export const OF_ONE_ACCOUNT = refusalsOf('account');
/** The refusals of the app, its signature or our clock. */
export const OF_ALL_ACCOUNTS = refusalsOf('all');

/** The result of a login. Only `success` brings a token. `busy`: the login budget was used up. */
export type LoginOutcome =
  | ResultKind
  | 'busy'
  | 'timeout'
  | 'unreachable'
  | 'outage'
  | 'too_large'
  | 'broken_answer'
  | 'circuit_open';

/**
 * `cached`: accepted from memory. `kept`: the same, because the session server could not be reached. `accepted`: by the
 * verifier. A fault or an error code: refused, or not checked.
 */
export type SessionOutcome = 'cached' | 'accepted' | 'kept' | SessionFault | ErrorCode;

/** The limits of an account: requests, logins, and replacements of refused tokens. */
export type LimitName = 'requests' | 'logins' | 'refused_tokens';

/** `readonly` to `noperm`: Redis refuses what the broker needs. `not_sent`: it answered none of the recent commands. */
export type RedisErrorKind =
  | 'timeout'
  | 'connection'
  | 'readonly'
  | 'oom'
  | 'misconf'
  | 'noperm'
  | 'loading'
  | 'not_sent'
  | 'other';

/** Why the internal API refused a request: it had no bearer token, or a wrong one. */
export type AdminRefusal = 'missing' | 'wrong';

/** Receives the events of all modules, for metrics. A call is cheap and never throws. No metric names an account. */
export interface Observer {
  /** @param endedFor the account, if the vendor had refused a valid token that a background renewal had replaced */
  tokenServed(outcome: ReadOutcome, leftMs: number, endedFor?: AccountId): void;
  /** @param account `undefined`: it is not known, because its session could not be checked */
  readFailed(error: unknown, account?: AccountId): void;

  renewalEnded(cause: RenewalCause, outcome: RenewalOutcome): void;
  renewalFailed(cause: RenewalCause, error: unknown): void;
  /** A token that the store had missed was written back, unless the store had a newer one or knew of a logout. */
  wroteBack(outcome: 'saved' | 'outdated'): void;
  rateLimited(limit: LimitName): void;

  /** A worker claimed a due renewal. @param latenessMs time since it was due */
  renewalClaimed(latenessMs: number): void;
  /** The number of due subjects that no replica has claimed. */
  backlogSeen(subjects: number): void;
  /** How long the oldest due token had waited before a claim; 0 if none was due. */
  overdueSeen(overdueMs: number): void;
  /** A token ended that an app had read, and that the broker should have renewed. */
  endedUnrenewed(): void;

  /** The broker sent a login request to the vendor. A login may take several requests. */
  loginSent(): void;
  /**
   * @param vendorCode in the vendor's last answer
   * @param durationMs with waits and retries; for `waitedMs` of it the login waited for its turn or a connection
   */
  loginEnded(
    outcome: LoginOutcome,
    vendorCode: number | undefined,
    durationMs: number,
    waitedMs: number,
    account: AccountId,
  ): void;
  /** The vendor has closed an account. Counts once per account, over all replicas. */
  accountClosed(): void;
  budgetWaited(urgency: Urgency, waitMs: number): void;
  budgetDenied(urgency: Urgency): void;

  sessionChecked(outcome: SessionOutcome): void;
  /** A command for Redis began, whatever its result. */
  redisAsked(): void;
  redisFailed(kind: RedisErrorKind): void;
  /** Redis has lost changes that this replica knows of. */
  storeLostData(history: 'lost' | 'went_back'): void;
  adminRefused(reason: AdminRefusal): void;
  /** The secrets were read again. @param isUsable `false`: the old ones stay, because the configuration is wrong */
  secretsReloaded(isUsable: boolean): void;
}

/** Returns an observer that reports each event to `observer`, and to `listener` if it listens to this event. */
export function withListener(observer: Observer, listener: Partial<Observer>): Observer {
  const listeners = Object.entries(listener) as [string, (...facts: unknown[]) => void][];
  const shared = listeners.map(([event, listen]) => {
    const report = observer[event as keyof Observer] as typeof listen;
    const reportBoth: typeof listen = (...facts) => {
      report(...facts);
      listen(...facts);
    };
    return [event, reportBoth];
  });
  return { ...observer, ...Object.fromEntries(shared) };
}
