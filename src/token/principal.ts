import type { AccountId, Subject, SubjectId } from './subject.ts';

/** The account that a session belongs to. */
export interface Principal {
  readonly unionId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region: string | undefined;
  /** The app that the session is bound to. */
  readonly app: string | undefined;
  /** When the session was issued: epoch ms. Most sessions say it in whole seconds. */
  readonly issuedAt: number | undefined;
  /** When the session ends: epoch ms. */
  readonly expiresAt: number;
}

/** A principal that is remembered with its session. */
export interface CachedPrincipal extends Principal {
  /** The id of `unionId`. */
  readonly account: AccountId;
  /** The last subject that the session asked for. */
  latest: LatestSubject | undefined;
}

/** A subject by the parameters that a request named it with. */
export interface LatestSubject {
  readonly uniqueId: string | undefined;
  readonly app: string | undefined;
  readonly subject: Subject;
  readonly id: SubjectId;
}

export interface SessionVerifier<Verified extends Principal = Principal> {
  /**
   * Returns the principal at once if no wait is needed. Every error is a rejection.
   * @param session the bearer token as the app sent it; in forward mode, a JSON object of the forwarded headers by
   *   lower-case name
   * @throws BrokerError `session_invalid`, `session_expired`, `session_check_unavailable`
   */
  verify(session: string): Verified | Promise<Verified>;
}

/** The sessions that this replica believes to be valid without asking about each again. */
export interface BelievedSessions {
  /** Asks about each session of the account again, also about those that are being checked now. */
  forget(account: AccountId): void;
}
