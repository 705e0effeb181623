import type { RenewalCause, RenewalOutcome } from '../token/observer.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { Subject, SubjectId } from '../token/subject.ts';

/** What is to be renewed, and why. */
export interface RenewalRequest {
  readonly id: SubjectId;
  readonly subject: Subject;
  /** Where the account lives, unless it is pinned to another country. */
  readonly region: string | undefined;
  /** The token to be replaced, where there is one. */
  readonly known: TokenRecord | undefined;
  readonly cause: RenewalCause;
  /** Whether a record somebody else obtained will do in place of a login. */
  readonly satisfies: (record: TokenRecord) => boolean;
}

/** What a renewal brought. */
export interface Renewed {
  readonly record: TokenRecord;
  readonly outcome: Exclude<RenewalOutcome, 'left'>;
}
