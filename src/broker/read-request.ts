import { BrokerError } from '../token/errors.ts';
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
