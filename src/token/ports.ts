import type { ErrorCode } from './errors.ts';
import type { SdkToken, TokenRecord } from './sdk-token.ts';
import type { Subject, SubjectId } from './subject.ts';

/** Who a session says its bearer is. */
export interface Principal {
  readonly unionId: string;
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region: string | undefined;
  /** Epoch ms past which the session is not to be believed. */
  readonly expiresAt: number;
}

export interface SessionVerifier {
  /**
   * @param session the bearer token as the app sent it
   * @throws BrokerError `session_invalid`, `session_expired`, `session_check_unavailable`
   */
  verify(session: string): Promise<Principal>;
}

export interface LoginRequest {
  readonly subject: Subject;
  readonly region: string;
  /** Most ms the login may take in all, from connect to last byte of the last attempt. */
  readonly budgetMs: number;
}

/** The vendor's `thirdCustLogin`. */
export interface VendorLogin {
  /**
   * @throws BrokerError `vendor_rejected`, `vendor_unavailable`, `vendor_timeout`, `vendor_busy`, `account_disabled`
   */
  login(request: LoginRequest): Promise<SdkToken>;
}

/** The right to log in for one subject, until released or run out. */
export interface Lease {
  readonly id: SubjectId;
  readonly ownerId: string;
  /** The generation a token obtained under this lease is saved as. */
  readonly generation: number;
  readonly durationMs: number;
}

export type LeaseAnswer =
  | { readonly lease: Lease; readonly current: TokenRecord | undefined }
  | { readonly lease: undefined; readonly heldForMs: number };

/** What every replica hears when a subject changes. */
export type Announcement =
  | { readonly kind: 'saved' | 'removed'; readonly id: SubjectId; readonly generation: number }
  | { readonly kind: 'failed'; readonly id: SubjectId; readonly generation: number; readonly code: ErrorCode };

export interface DueClaims {
  readonly ids: readonly SubjectId[];
  /** Ms until the next entry is due, as far as known. */
  readonly nextInMs: number | undefined;
}

/**
 * Tokens, their leases and their schedule. Every method is one atomic step for its subject.
 * An error is never an absence: whatever goes wrong is thrown as BrokerError `store_unavailable`.
 */
export interface TokenStore {
  read(id: SubjectId): Promise<TokenRecord | undefined>;

  /** Hands out the subject's lease with the next generation, unless somebody holds it. A claim on it lasts as long. */
  acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer>;

  /** Gives a lease its full duration anew. `false`: it is no longer ours. */
  extend(lease: Lease): Promise<boolean>;

  /**
   * Writes token, schedule and account index, releases the lease and announces `saved`.
   * `false`: a newer generation, a logout or an erasure stands, and nothing was written.
   * @param dueAt epoch ms at which the record is to be looked at next
   */
  save(lease: Lease, record: TokenRecord, dueAt: number): Promise<boolean>;

  /**
   * Gives the lease back without a token.
   * @param dueAt epoch ms at which the record, if there is one, is to be looked at next
   * @param failure announced as `failed`, so that who waits elsewhere need not find out anew
   */
  release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void>;

  /** Forgets the terminal's token and schedule, outdates whatever is in flight, announces `removed`. Idempotent. */
  remove(id: SubjectId): Promise<void>;

  /** Notes that an app has read this generation. */
  markRead(id: SubjectId, generation: number): Promise<void>;

  /** Claims at most `limit` subjects that are due, hiding them from other claims for `visibilityMs`. */
  claimDue(limit: number, visibilityMs: number): Promise<DueClaims>;

  /** Sets when the record, if there is one, is to be looked at next. @param dueAt epoch ms */
  schedule(id: SubjectId, dueAt: number): Promise<void>;

  /** Takes a subject without a living token off the schedule and out of the account index. */
  sweep(id: SubjectId): Promise<void>;

  /** Calls `listener` for each announcement from now on. */
  subscribe(listener: (announcement: Announcement) => void): void;

  /**
   * Epoch ms since which announcements have arrived without a gap; `undefined` while they may be missed.
   * What memory learnt before that is to be checked again.
   */
  announcedSince(): number | undefined;

  /** Whether the store answers. @throws BrokerError `store_unavailable` */
  ping(): Promise<void>;

  close(): Promise<void>;
}
