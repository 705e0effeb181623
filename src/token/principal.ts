/** A value that is there at once, or comes later: what memory holds costs no promise of its own. */
export type Soon<T> = T | Promise<T>;

/** Who a session says its bearer is. */
export interface Principal {
  readonly unionId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region: string | undefined;
  /** The edition of the app the session is bound to. */
  readonly app: string | undefined;
  /** Epoch ms at which the session was issued, to the second. */
  readonly issuedAt: number | undefined;
  /** Epoch ms past which the session is not to be believed. */
  readonly expiresAt: number;
}

/** A principal, and for how long. */
export interface BelievedPrincipal extends Principal {
  /** Epoch ms before which nobody need be asked about the session again. */
  readonly believedUntil: number;
}

export interface SessionVerifier<Verified extends Principal = Principal> {
  /**
   * @param session the bearer token as the app sent it; where sessions are forwarded, the JSON text of an object that
   * holds what the app sent in the configured headers, by lower-case name
   * @throws BrokerError `session_invalid`, `session_expired`, `session_check_unavailable`
   */
  verify(session: string): Soon<Verified>;
}
