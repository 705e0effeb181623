import { BrokerError } from '../token/errors.ts';
import type { RenewalCause, RenewalOutcome } from '../token/observer.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { Subject, SubjectId } from '../token/subject.ts';

export interface ReadRequest {
  readonly subject: Subject;
  /** The subject's, where it is at hand. */
  readonly id?: SubjectId;
  /** Where the account lives, if the session or the app say so; needed for an account's first login alone. */
  readonly region: string | undefined;
  /** Epoch ms; `undefined` where the session does not say. */
  readonly sessionIssuedAt: number | undefined;
  /** The entity tag of a token the vendor has refused. */
  readonly refused?: string | undefined;
}

/** Who asks, as far as an erasure goes. */
type Bearer = Pick<ReadRequest, 'sessionIssuedAt'>;

/**
 * Whether the account was erased since the session was issued; one that does not say when it was counts as older.
 * @param erasedAt epoch ms of the account's last erasure
 */
export function isErased({ sessionIssuedAt = 0 }: Bearer, erasedAt: number | undefined): boolean {
  return erasedAt !== undefined && sessionIssuedAt <= erasedAt;
}

/** @throws BrokerError `session_invalid` when the account was erased since the session was issued */
export function refuseErased(bearer: Bearer, erasedAt: number | undefined): void {
  if (!isErased(bearer, erasedAt)) return;
  throw new BrokerError('session_invalid', { detail: 'the account was erased after the session was issued' });
}

/** What is to be renewed, and why. */
export interface RenewalRequest {
  readonly id: SubjectId;
  readonly subject: Subject;
  /** Where the account lives, unless it is pinned to another country. */
  readonly region: string | undefined;
  /** The token to be replaced, where there is one. */
  readonly known: TokenRecord | undefined;
  readonly cause: RenewalCause;
  /** Epoch ms; `undefined` where nobody asks, or the session does not say. */
  readonly sessionIssuedAt: number | undefined;
  /** Whether a record somebody else obtained will do in place of a login. */
  readonly satisfies: (record: TokenRecord) => boolean;
}

/** What a renewal brought. */
export interface Renewed {
  readonly record: TokenRecord;
  readonly outcome: RenewalOutcome;
  /** Epoch ms of the account's last erasure. */
  readonly erasedAt: number | undefined;
}

/**
 * Whether a renewal's failure is that of who asked for it alone: another one who waits for the same may fare better.
 * @param failed who asked for it; `undefined`: another replica
 */
export function isTheirsAlone(error: unknown, failed: RenewalRequest | undefined, waiting: RenewalRequest): boolean {
  if (!(error instanceof BrokerError)) return false;
  switch (error.code) {
    case 'request_invalid':
      return waiting.region !== undefined;
    case 'session_invalid':
      return true;
    case 'vendor_busy':
    case 'session_forbidden':
      return failed?.cause === 'background' && waiting.cause !== 'background';
    default:
      return false;
  }
}
