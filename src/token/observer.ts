import type { ErrorCode } from './errors.ts';
import type { Urgency } from './login-queue.ts';

/**
 * Where a token that was handed out came from. `login`: one made for this read. `waited`: somebody else's login.
 * `fallback`: the old one, as its renewal failed or took too long.
 */
export type ReadOutcome = 'memory' | 'redis' | 'login' | 'waited' | 'fallback';

/** An app waits for its first token, for one that is due, or in place of one that was refused; or nobody asked. */
export type RenewalCause = 'new' | 'due' | 'refused' | 'background';

/** `login`: by a login of its own. `waited`: by somebody else's. */
export type RenewalOutcome = 'login' | 'waited';

/** What a login came to; all but the first brought no token. `busy`: the login budget was spent. */
export type LoginOutcome =
  | 'success'
  | 'busy'
  | 'clock_skew'
  | 'configuration'
  | 'request'
  | 'too_frequent'
  | 'maintenance'
  | 'account_closed'
  | 'unknown'
  | 'timeout'
  | 'unreachable'
  | 'outage'
  | 'too_large'
  | 'broken_answer'
  | 'circuit_open';

/** `cached`: believed from memory. `kept`: believed on, as nobody could be asked. Else asked, and accepted or refused. */
export type SessionOutcome = 'cached' | 'accepted' | 'kept' | ErrorCode;

/** What an account may do only so often: ask, cause a login, have a refused token replaced. */
export type LimitName = 'requests' | 'logins' | 'refused_tokens';

/** `not_sent`: it failed at once, as Redis has not answered lately. */
export type RedisErrorKind = 'timeout' | 'connection' | 'readonly' | 'oom' | 'loading' | 'not_sent' | 'other';

/**
 * What the parts tell of what they do, for whoever counts it. A call is cheap, never fails, and says nothing of whom it
 * was about.
 */
export interface Observer {
  /** @param leftMs what the token had left to live */
  tokenServed(outcome: ReadOutcome, leftMs: number): void;
  readFailed(error: unknown): void;

  renewalEnded(cause: RenewalCause, outcome: RenewalOutcome): void;
  renewalFailed(cause: RenewalCause, error: unknown): void;
  /** An app has read a token that was renewed without being asked for: the first time. */
  backgroundRenewalRead(): void;
  /** A renewal was refused, as earlier ones had failed like this. */
  coolingDown(code: ErrorCode): void;
  /** A token was brought into the store that it had missed, unless something as new stood there. */
  wroteBack(outcome: 'saved' | 'outdated'): void;
  rateLimited(limit: LimitName): void;

  /** A renewal that is due was claimed. @param latenessMs since when it was due */
  renewalClaimed(latenessMs: number): void;
  /** How many subjects are due over all replicas that nobody has claimed. */
  backlogSeen(subjects: number): void;

  /** A login request was sent to the vendor; a login may take several. */
  loginSent(): void;
  /**
   * @param vendorCode the vendor's result code in its last answer, if there was one
   * @param durationMs waits and repetitions included
   */
  loginEnded(outcome: LoginOutcome, vendorCode: number | undefined, durationMs: number): void;
  budgetWaited(urgency: Urgency, waitMs: number): void;
  budgetDenied(urgency: Urgency): void;
  /** @param host of the vendor's domain, with its port unless that is the usual one */
  circuitChanged(host: string, status: 'closed' | 'half-open' | 'open'): void;
  /** @param offsetMs the vendor's clock minus ours */
  clockOffsetSeen(host: string, offsetMs: number): void;

  sessionChecked(outcome: SessionOutcome): void;
  redisFailed(kind: RedisErrorKind): void;
}

const ignore = (): void => undefined;

/** Counts nothing. */
export const silentObserver: Observer = {
  tokenServed: ignore,
  readFailed: ignore,
  renewalEnded: ignore,
  renewalFailed: ignore,
  backgroundRenewalRead: ignore,
  coolingDown: ignore,
  wroteBack: ignore,
  rateLimited: ignore,
  renewalClaimed: ignore,
  backlogSeen: ignore,
  loginSent: ignore,
  loginEnded: ignore,
  budgetWaited: ignore,
  budgetDenied: ignore,
  circuitChanged: ignore,
  clockOffsetSeen: ignore,
  sessionChecked: ignore,
  redisFailed: ignore,
};
