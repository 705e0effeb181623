import type { BrokerError, ErrorCode } from './errors.ts';
import type { Pace, Place, returningMs, Urgency } from './login-queue.ts';
import type { SdkToken, TokenRecord } from './sdk-token.ts';
import type { AccountId, Subject, SubjectId } from './subject.ts';

export interface LoginRequest {
  readonly subject: Subject;
  readonly region: string;
  /** Maximum ms for the whole login, until the last byte of the last attempt. */
  readonly budgetMs: number;
  readonly urgency: Urgency;
  /** Asked right before each attempt is sent. Default: it may. */
  readonly mayBeSent?: () => boolean;
  /** Of the app's request that caused the login. For the log. */
  readonly requestId?: string | undefined;
}

/** The vendor's `thirdCustLogin`. */
export interface VendorLogin {
  /** @throws BrokerError with one of `LOGIN_ERRORS`; LoginNotSent if `mayBeSent` was false */
  login(request: LoginRequest): Promise<SdkToken>;
}

/** The right to log in for one subject, until the lease is released or runs out. */
export interface Lease {
  readonly id: SubjectId;
  readonly ownerId: string;
  /** The generation of a token that is obtained under this lease. */
  readonly generation: number;
  readonly durationMs: number;
}

/** `endedRead`: the call deleted a token that an app had read, because it has expired. */
export type LeaseAnswer =
  | {
      readonly kind: 'granted';
      readonly lease: Lease;
      readonly current: TokenRecord | undefined;
      /** The country that was pinned to the account at its first login. */
      readonly region: string | undefined;
      /** Epoch ms. Sessions of the account that were issued up to then are not valid. */
      readonly sessionsEndedAt: number | undefined;
      readonly endedRead: boolean;
    }
  /** Another owner has the lease. */
  | { readonly kind: 'held'; readonly heldForMs: number }
  /** Logins failed in a row, the last with `code`, or one was too frequent. The next lease is granted after `forMs`. */
  | { readonly kind: 'cooling'; readonly forMs: number; readonly code: ErrorCode }
  /** The account has its maximum number of terminals, and this subject would be another one. */
  | { readonly kind: 'terminal_limit'; readonly endedRead: boolean };

/**
 * Only `saved` and `suspect` write the token. `suspect`: another login may have ended it ({@link TokenRecord.suspect}).
 * `superseded`: the token of a login that was sent later is stored, and becomes suspect if nobody knows which of the
 * two the vendor received last. `outdated`: a logout or an erasure came after the login was sent. `lease_lost`: only a
 * later lease was granted, and its owner has stored no token so far.
 */
export type SaveOutcome = 'saved' | 'suspect' | 'superseded' | 'outdated' | 'lease_lost' | 'terminal_limit';

/** The result of writing a token without a lease. */
export type RestoreOutcome = Exclude<SaveOutcome, 'lease_lost' | 'terminal_limit'>;

/** The ids of an account, here and at the vendor. */
interface AccountIdentity {
  readonly unionId: string;
  readonly accessId: string;
  readonly region: string;
}

/** Sessions that were issued before the end are not valid. */
export interface StoredTerminal {
  readonly record: TokenRecord | undefined;
  /** Instead of `record`: the generation of a token that this replica cannot decrypt. */
  readonly unreadable?: number | undefined;
  /** Epoch ms of the account's last erasure. */
  readonly erasedAt: number | undefined;
  /** Epoch ms of the last logout of the whole account. */
  readonly loggedOutAt?: number | undefined;
}

/** How all sessions of an account end: with its erasure, or by a logout, after which it keeps accessIds and country. */
export type SessionsEnd = 'erased' | 'loggedout';

/**
 * The terminals of all accounts: the token of each, and the lease to renew it. Each method is one atomic step.
 * @throws BrokerError `store_unavailable`, from every method. An error never stands for a missing token.
 */
export interface TerminalStore {
  read(id: SubjectId): Promise<StoredTerminal>;

  /** Notes that an app has read this generation. The first read makes it due at `dueAt` (epoch ms) or earlier. */
  markRead(id: SubjectId, generation: number, dueAt: number): Promise<void>;

  /**
   * Grants the lease of the subject with its next generation, unless another owner holds it. Deletes an expired token.
   * The due queue hides the subject while the lease lasts, or while the account cools down.
   */
  acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer>;

  /**
   * Restarts the duration of each lease: one command per shard. A shard that fails does not affect the others.
   * @returns the leases that their owner has lost
   */
  extend(leases: readonly Lease[]): Promise<readonly Lease[]>;

  /**
   * Writes the token, the account index and `dueAt`, the epoch ms of the worker's next look. Pins the country of an
   * account that has none. Releases the lease and announces `saved`. Then stores the accessId for `lookUp`.
   */
  save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome>;

  /**
   * Writes the accessId of an account and no token: the terminal counts for no limit and is never due. Pins the country
   * of an account that has none. Releases the lease. Then stores the accessId for {@link AccountStore.lookUp}.
   * @returns `outdated` after an erasure only: an accessId is that of the account, whatever becomes of the terminal
   */
  saveAccessId(lease: Lease, account: AccountIdentity): Promise<'saved' | 'outdated'>;

  /**
   * Gives the lease back without a token. After repeated failures with a code that cools down, the account cools down.
   * So it does after the first one, if the vendor asks for it.
   * @param dueAt epoch ms at which the worker looks at an existing token next; `undefined` leaves its due time
   * @param failure announced as `failed`, so that waiting replicas do not repeat the login. If it cools down, the
   *   cool-down lasts at least `waitMs`, which counts up to an hour
   */
  release(lease: Lease, dueAt: number | undefined, failure?: LoginFailure): Promise<void>;

  /**
   * Writes a token without a lease: of a login that could not get one, or after the store has lost its data. A lease
   * alone does not refuse it: its owner may never store a token, and can still replace this one.
   * @param sessionIssuedAt epoch ms, of the session that caused a login without a lease: an end of the account's
   *   sessions at this time or later refuses the token, although the login came after it
   */
  restore(record: TokenRecord, dueAt: number, sessionIssuedAt?: number): Promise<RestoreOutcome>;

  /** Notes a login that a logout or erasure ended. It may have ended a later login's token, which becomes suspect. */
  drop(record: TokenRecord): Promise<void>;

  /**
   * Deletes the token and its due time, makes any login in progress outdated, and announces `removed`. Idempotent.
   * @param sessionIssuedAt epoch ms, of the session that asks for it; without it, nothing prevents the removal
   * @returns the generation up to which tokens are outdated; `undefined` if the sessions of the account were ended at
   *   `sessionIssuedAt` or later, and then nothing has changed
   */
  remove(id: SubjectId, sessionIssuedAt?: number): Promise<number | undefined>;

  /** Repeats a removal that the store has lost. A newer token stays. @param generation what {@link remove} returned */
  repeatRemoval(id: SubjectId, generation: number): Promise<void>;

  /**
   * The store's clock, epoch ms, also while the store does not answer. It is behind by a round trip at most, and never
   * ahead, unless the store's clock was set back since its last answer. `undefined` before the first answer.
   */
  clockFor(id: SubjectId): number | undefined;
}

/** The accessId of an account, and the country that was pinned at its first login. */
export type KnownAccount = Omit<AccountIdentity, 'unionId'>;

/** What the store has of an account. The cool-down and the erasure are there even if the account never had a token. */
export interface StoredAccount {
  /** Kept when the tokens have expired; absent before the first login and after an erasure. */
  readonly identity?: KnownAccount | undefined;
  /** The terminals whose tokens have not expired. */
  readonly records: readonly TokenRecord[];
  /** Present while the account's logins pause: epoch ms of the end, and the last failure. */
  readonly coolDown?: { readonly until: number; readonly code: ErrorCode } | undefined;
  /** The last erasure, and the last logout of the whole account, epoch ms. Older sessions are refused. */
  readonly erasedAt?: number | undefined;
  readonly loggedOutAt?: number | undefined;
}

/** @throws BrokerError `store_unavailable`, from every method */
export interface AccountStore {
  find(unionId: string): Promise<StoredAccount>;

  /** Returns the newest accessId and the country. Fails unless {@link lookUp} finds the account by it from now on. */
  identify(unionId: string): Promise<KnownAccount | undefined>;

  /** @returns the unionId of each known accessId. An account keeps its last {@link MAX_ACCESS_IDS} */
  lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>>;

  /**
   * Deletes all but the time of the erasure, makes logins in progress outdated, and announces `erased`. Idempotent.
   * @returns epoch ms of the erasure: sessions and generations up to it are outdated
   */
  erase(unionId: string): Promise<number>;

  /**
   * Deletes all tokens, makes logins in progress outdated, announces `loggedout`. Keeps accessIds and country.
   * Idempotent.
   * @returns epoch ms of the logout: sessions and generations up to it are outdated
   */
  logOut(unionId: string): Promise<number>;

  /** Repeats an end that the store has lost. What is newer stays. @param generation what the end returned */
  repeatEnd(account: AccountId, how: SessionsEnd, generation: number): Promise<void>;
}

export interface DueSubjects {
  readonly ids: readonly SubjectId[];
  /** Ms until the next entry is due, if known. */
  readonly nextInMs: number | undefined;
  /** Number of other entries that are due and not claimed. */
  readonly backlog: number;
  /** How long the oldest entry had been due before this claim, in ms; 0 if none was. */
  readonly overdueMs: number;
}

/** The due times of all tokens, as numbers. */
export interface ScheduleOutlook {
  /** Number of subjects that are due within each of the given times, those that are due now included. */
  readonly dueWithin: readonly number[];
  readonly total: number;
  /** How long the oldest entry has been due, in ms; 0 if none is. */
  readonly overdueMs: number;
}

/** The tokens of all replicas in the order in which they are due. */
export interface DueQueue {
  /**
   * Takes at most `limit` due subjects, and hides them from other workers for {@link HIDDEN_MS}. Grants no lease.
   * @throws BrokerError `store_unavailable`
   */
  claim(limit: number): Promise<DueSubjects>;

  /**
   * Counts the subjects that are due within each of these times, over all accounts. Changes nothing, and is cheap.
   * @throws BrokerError `store_unavailable`, also if a part of the store does not answer
   */
  outlook(horizonsMs: readonly number[]): Promise<ScheduleOutlook>;

  /**
   * Looks at the tokens that are due first, until no other can end sooner, and at 50,000 at most. Not cheap.
   * @returns epoch ms of the first end of one that an app has read since its renewal; `undefined` for none
   * @throws BrokerError `store_unavailable`
   */
  firstEnd(): Promise<number | undefined>;
}

/** A rate limit shared by all replicas (GCRA): one per `intervalMs` on average, `burst` at once. */
export interface RateLimiter {
  /** @returns 0 when one permit was taken, else the ms until the next @throws BrokerError `store_unavailable` */
  take(name: string, intervalMs: number, burst: number): Promise<number>;

  /** Gives a taken permit back. @throws BrokerError `store_unavailable` */
  giveBack(name: string, intervalMs: number): Promise<void>;
}

/** The queue of vendor logins, shared by all replicas. */
export interface LoginQueue {
  /**
   * Reserves the next place. A foreground login that gets one is no newcomer for the next {@link returningMs}.
   * @throws BrokerError `store_unavailable`
   */
  reserve(pace: Pace, urgency: Urgency, account: AccountId): Promise<Place>;

  /**
   * Returns how far ahead the next free place is, in ms: negative after a pause, `undefined` after a long one.
   * @throws BrokerError `store_unavailable`
   */
  nextPlaceInMs(): Promise<number | undefined>;
}

/** The parts of a login's error that requests need which wait for it at other replicas. */
export type LoginFailure = Pick<BrokerError, 'code'> &
  Partial<Pick<BrokerError, 'retryAfter' | 'vendorCode' | 'waitMs'>>;

/** For every replica. `removed`: a logout, or the vendor ended the token. `suspected`: it has become suspect. */
export type Announcement =
  | { readonly kind: 'saved' | 'suspected' | 'removed'; readonly id: SubjectId; readonly generation: number }
  | { readonly kind: SessionsEnd; readonly account: AccountId; readonly generation: number }
  | ({ readonly kind: 'failed'; readonly id: SubjectId; readonly generation: number } & Omit<LoginFailure, 'waitMs'>);

export interface AnnouncementFeed {
  /** Calls `listener` for each announcement from now on. */
  subscribe(listener: (announcement: Announcement) => void): void;

  /** Monotonic time since which no announcement was missed; `undefined` while some may be. Check older tokens. */
  completeSince(): number | undefined;
}

/**
 * `lost`: the store has none of the changes that this replica knows of, for example after a start without its data.
 * `went_back`: older ones, but not the last, for example after a start from an old snapshot or a failover that lost
 * writes.
 */
export type StoreHistory = 'same' | 'lost' | 'went_back';

/** When the store was last found to have lost data. */
export interface DataLoss {
  readonly history: Exclude<StoreHistory, 'same'>;
  /** Epoch ms. */
  readonly at: number;
  /** The same by the monotonic clock. */
  readonly monotonic: number;
}

export interface StoreHealth {
  /** @throws BrokerError `store_unavailable` when the store does not answer */
  ping(): Promise<void>;

  /** Calls `listener` when the store answers again after a failure, is back after an outage, or has lost a change. */
  onReturn(listener: (history: StoreHistory) => void): void;
}

/** A text that another replica has left. */
export interface LeftSummary {
  /** Of the process that left it. */
  readonly id: string;
  /** Ms since then, by the store's clock. */
  readonly ageMs: number;
  readonly text: string;
  /** Whether one of the encryption keys has signed it. Without keys, nobody can tell: `true`. */
  readonly isSigned: boolean;
}

/**
 * A short text of each replica, for the others. The store keeps it for an hour: a replica that starts later learns from
 * it which one died. An announcement would reach only the replicas that run.
 * @throws BrokerError `store_unavailable`, from every method
 */
export interface ReplicaSummaries {
  /** Replaces the text of this replica. */
  leave(text: string): Promise<void>;

  /** The texts of the other replicas, also of those that have ended without {@link end}. */
  others(): Promise<readonly LeftSummary[]>;

  /** Deletes the text of this replica, and those of `others`. */
  end(others?: readonly string[]): Promise<void>;
}

/** The state that all replicas share, by concern. */
export interface TokenStore {
  readonly terminals: TerminalStore;
  readonly accounts: AccountStore;
  readonly dueQueue: DueQueue;
  readonly rateLimiter: RateLimiter;
  readonly loginQueue: LoginQueue;
  readonly announcements: AnnouncementFeed;
  readonly health: StoreHealth;
  readonly replicas: ReplicaSummaries;
  close(): Promise<void>;
}
