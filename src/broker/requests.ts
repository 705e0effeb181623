import { BrokerError } from '../token/errors.ts';
import type { Urgency } from '../token/login-queue.ts';
import type { RenewalCause, RenewalOutcome } from '../token/observer.ts';
import type { StoredTerminal } from '../token/ports.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import type { Subject, SubjectId } from '../token/subject.ts';
import type { RecordFacts } from './cached-tokens.ts';

/** A request for a token. */
export interface ReadRequest {
  readonly subject: Subject;
  /** The id of `subject`, if the caller has it. */
  readonly id?: SubjectId;
  /** From the session or the app. Only an account's first login needs it: the country pinned then takes precedence. */
  readonly region: string | undefined;
  /** Epoch ms; `undefined` if the session does not say. */
  readonly sessionIssuedAt: number | undefined;
  /** The entity tag of a token that the vendor has refused. */
  readonly refused?: string | undefined;
  /** For the log. */
  readonly requestId?: string | undefined;
}

/** A request for a newer token. A background renewal has no session. */
export interface RenewalRequest extends Omit<ReadRequest, 'id' | 'refused'> {
  readonly id: SubjectId;
  /** The token to replace. */
  readonly known: TokenRecord | undefined;
  readonly cause: RenewalCause;
  /** Whether an app waits for the renewal. */
  readonly urgency: Urgency;
  /** Whether another login's record will do: usable, newer than `known`, not suspect, and not the refused token. */
  readonly satisfies: (record: TokenRecord) => boolean;
}

/** The result of a renewal. */
export interface Renewed extends RecordFacts {
  readonly record: TokenRecord;
  readonly outcome: RenewalOutcome;
}

/** When the session of a request was issued. */
export type SessionAge = Pick<ReadRequest, 'sessionIssuedAt'>;

/** @param sessionsEndedAt epoch ms @throws BrokerError `session_invalid` if issued up to then, or at an unknown time */
export function refuseEnded(session: SessionAge, sessionsEndedAt: number | undefined): void {
  if (sessionsEndedAt !== undefined && (session.sessionIssuedAt ?? 0) <= sessionsEndedAt) throw sessionEnded(session);
}

/** When the sessions of the account were last ended according to the store, as epoch ms. */
export function sessionsEndIn({ erasedAt = 0, loggedOutAt = 0 }: StoredTerminal): number | undefined {
  return Math.max(erasedAt, loggedOutAt) || undefined;
}

export function sessionEnded({ sessionIssuedAt }: SessionAge): BrokerError {
  const detail =
    sessionIssuedAt === undefined
      ? SESSION_REASONS.noTimeOfIssue
      : 'the account was logged out or erased after the session was issued';
  return new BrokerError('session_invalid', { detail });
}

/**
 * After another request for the token failed: whether to try alone, for example with a country that the other lacked.
 * @param failed the request that failed; `undefined`: a request of another replica
 */
export function shouldRetryAlone(
  waiting: Pick<RenewalRequest, 'region' | 'cause' | 'urgency'>,
  failed: Pick<RenewalRequest, 'cause' | 'urgency'> | undefined,
  error: unknown,
): boolean {
  if (!(error instanceof BrokerError)) return false;
  switch (error.code) {
    case 'request_invalid':
      return waiting.region !== undefined;
    case 'session_invalid':
      return true;
    // A request with a valid token waits for the store; the others log in without it.
    case 'store_unavailable':
      return (failed?.cause === 'due' || failed?.cause === 'background') && waiting.cause !== 'due';
    case 'vendor_busy':
      return failed?.urgency === 'background' && waiting.urgency === 'foreground';
    case 'session_forbidden':
      return failed?.cause === 'background' && waiting.cause !== 'background';
    default:
      return false;
  }
}
