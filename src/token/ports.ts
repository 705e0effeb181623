import type { ErrorCode } from './errors.ts';
import type { Pace, Place, reservePlace, Urgency } from './login-queue.ts';
import type { SdkToken, TokenRecord } from './sdk-token.ts';
import type { AccountId, Subject, SubjectId } from './subject.ts';

export interface LoginRequest {
  readonly subject: Subject;
  readonly region: string;
  /** Most ms the login may take in all, from now to the last byte of the last attempt. */
  readonly budgetMs: number;
  readonly urgency: Urgency;
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
  /** Of a claim, the store's own: what it knew of the account's accessId, so that `save` need not write it again. */
  readonly accessIdMark?: string | undefined;
}

export type LeaseAnswer =
  | {
      readonly kind: 'granted';
      readonly lease: Lease;
      readonly current: TokenRecord | undefined;
      /** The country the account was pinned to at its first success. */
      readonly region: string | undefined;
      /** Epoch ms of the account's last erasure. */
      readonly erasedAt: number | undefined;
    }
  | { readonly kind: 'held'; readonly heldForMs: number }
  /** Logins of this subject have failed again and again, the last one with `code`: none is due before `forMs` are over. */
  | { readonly kind: 'cooling'; readonly forMs: number; readonly code: ErrorCode }
  /** The account has as many terminals as it may; this would be another one. */
  | { readonly kind: 'terminal_limit' };

/** `outdated`: a newer generation, a logout or an erasure stands, and nothing was written. */
export type SaveOutcome = 'saved' | 'outdated' | 'terminal_limit';

/** What is known of a terminal. */
export interface StoredTerminal {
  readonly record: TokenRecord | undefined;
  /** Epoch ms of the account's last erasure: older sessions are not to be believed. */
  readonly erasedAt: number | undefined;
}

/** What is known of an account, beyond its tokens' lives. */
export interface StoredAccount {
  readonly accessId: string;
  /** Pinned at the first success. */
  readonly region: string;
  /** Of the terminals whose tokens live. */
  readonly records: readonly TokenRecord[];
}

/** What every replica hears when a subject changes. */
export type Announcement =
  | { readonly kind: 'saved' | 'removed'; readonly id: SubjectId; readonly generation: number }
  | { readonly kind: 'erased'; readonly account: AccountId; readonly generation: number }
  | { readonly kind: 'failed'; readonly id: SubjectId; readonly generation: number; readonly code: ErrorCode };

/** A subject that is due, and the right to renew its token. */
export interface DueClaim {
  readonly lease: Lease;
  readonly record: TokenRecord;
  /** The country the account was pinned to at its first success. */
  readonly region: string | undefined;
  /** Epoch ms of the account's last erasure. */
  readonly erasedAt: number | undefined;
}

export interface DueClaims {
  readonly claims: readonly DueClaim[];
  /** Ms until the next entry is due, as far as known. */
  readonly nextInMs: number | undefined;
  /** How many are due besides, that nobody has claimed. */
  readonly backlog: number;
}

/** A rate kept over all replicas (GCRA): one each `intervalMs` in the long run, `burst` at once. */
export interface RateLimiter {
  /**
   * Takes one, where there is one.
   * @returns 0 when it was taken, else the ms after which there will be one
   * @throws BrokerError `store_unavailable`
   */
  take(name: string, intervalMs: number, burst: number): Promise<number>;
}

/** The vendor logins of all replicas, one after the other at a pace. */
export interface LoginQueue {
  /** Reserves the next place (see {@link reservePlace}). @throws BrokerError `store_unavailable` */
  reserve(pace: Pace, urgency: Urgency): Promise<Place>;
}

/**
 * Tokens, their leases and their schedule, accounts and their erasure. Every method is one atomic step for its subject.
 * An error is never an absence: whatever goes wrong is thrown as BrokerError `store_unavailable`.
 */
export interface TokenStore extends RateLimiter, LoginQueue {
  read(id: SubjectId): Promise<StoredTerminal>;

  /** Hands out the subject's lease with the next generation, unless somebody holds it. Nobody claims it meanwhile. */
  acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer>;

  /** Gives a lease its full duration anew. `false`: it is no longer ours. */
  extend(lease: Lease): Promise<boolean>;

  /**
   * Writes token, schedule and account index, pins the account's country if it has none, releases the lease and
   * announces `saved`. Then keeps the account's accessId for {@link lookUp}.
   * @param dueAt epoch ms at which the record is to be looked at next
   */
  save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome>;

  /**
   * Writes back a record that was obtained, or is remembered from before the store lost it, without a lease. It is
   * `outdated` where anything as new stands.
   */
  restore(record: TokenRecord, dueAt: number): Promise<Exclude<SaveOutcome, 'terminal_limit'>>;

  /**
   * Gives the lease back without a token. After repeated failures that pass by themselves the subject cools down.
   * @param dueAt epoch ms at which the record, if there is one, is to be looked at next
   * @param failure announced as `failed`, so that who waits elsewhere need not find out anew
   */
  release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void>;

  /**
   * Forgets the terminal's token and schedule, outdates whatever is in flight, announces `removed`. Idempotent.
   * @returns the generation up to which tokens are outdated
   */
  remove(id: SubjectId): Promise<number>;

  account(unionId: string): Promise<StoredAccount | undefined>;

  /** The accounts' unionIds by accessId, those that are known. */
  lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>>;

  /**
   * Forgets everything of the account but the instant, outdates whatever is in flight, announces `erased`. Idempotent.
   * @returns the instant, epoch ms: sessions and generations up to it are outdated
   */
  erase(unionId: string): Promise<number>;

  /** Notes that an app has read this generation. @returns whether that was not known before */
  markRead(id: SubjectId, generation: number): Promise<boolean>;

  /**
   * Claims at most `limit` subjects that are due, by their leases: each for half of what its token has left, within these
   * bounds. What is left of expired tokens it takes off the schedule and out of the account index; a record that cannot
   * be read it puts off until its end. One that fails holds up no other.
   */
  claimDue(limit: number, leaseMs: { readonly shortest: number; readonly longest: number }): Promise<DueClaims>;

  /** Calls `listener` for each announcement from now on. */
  subscribe(listener: (announcement: Announcement) => void): void;

  /**
   * Epoch ms since which announcements have arrived without a gap; `undefined` while they may be missed.
   * What memory learnt before that is to be checked again.
   */
  announcedSince(): number | undefined;

  /** Calls `listener` whenever the store is back after it was away. @param listener is told whether it lost its data */
  onReturn(listener: (lostData: boolean) => void): void;

  /** Whether the store answers. @throws BrokerError `store_unavailable` */
  ping(): Promise<void>;

  close(): Promise<void>;
}
