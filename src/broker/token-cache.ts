import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, AnnouncementFeed } from '../token/ports.ts';
import { earliestRenewal, type RefreshPolicy } from '../token/renewal-timing.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../token/subject.ts';

/** How long an entry is fresh: while announcements arrive without a gap, and otherwise. */
const FRESH_ANNOUNCED_MS = 60_000;
const FRESH_UNANNOUNCED_MS = 2_000;
/** Memory of an entry in addition to its body, measured with 100,000 entries. */
const ENTRY_OVERHEAD_BYTES = 2_000;
/** Maximum number of remembered invalidations. They keep a late read from restoring an old token. */
const MAX_FLOORS = 50_000;

export interface CachedToken {
  readonly id: SubjectId;
  readonly served: ServedToken;
  /** Epoch ms of the account's last erasure. Older sessions are refused. */
  readonly erasedAt: number | undefined;
  /** When the store confirmed it: epoch ms. `-Infinity` before that, and after a newer token was announced. */
  checkedAt: number;
  /** Before this time (epoch ms) a read asks for no renewal. */
  renewFrom: number;
  /** Whether the store knows that an app has read the token. */
  markedRead: boolean;
}

/** An announced change. It applies to what the store was asked for before it, but not to later answers of the store. */
interface Floor {
  /** The oldest valid generation of the subject or the account. */
  readonly generation: number;
  /** Epoch ms of the last announcement. */
  readonly raisedAt: number;
}

export interface TokenCacheOptions {
  readonly announcements: AnnouncementFeed;
  readonly clock: Clock;
  readonly maxBytes: number;
  readonly policy: RefreshPolicy;
}

type Tokens = readonly CachedToken[];

/** Accounts with their tokens. */
class Half {
  readonly accounts = new Map<AccountId, Tokens>();
  tokens = 0;
  bytes = 0;

  replace(account: AccountId, before: Tokens, after: Tokens): void {
    if (after.length > 0) this.accounts.set(account, after);
    else this.accounts.delete(account);
    this.tokens += after.length - before.length;
    this.bytes += bytesOf(after) - bytesOf(before);
  }
}

function bytesOf(tokens: Tokens): number {
  return tokens.reduce((sum, { served }) => sum + served.body.length + ENTRY_OVERHEAD_BYTES, 0);
}

/**
 * The accounts that were used last, with their tokens. When the newer half is full, the older one is dropped as a whole.
 * To evict tokens one by one would take 2 % of the CPU of a first read (benchmark scenario `first`).
 */
class RecentAccounts {
  readonly #maxHalfBytes: number;
  #newer = new Half();
  #older = new Half();

  constructor(maxBytes: number) {
    this.#maxHalfBytes = maxBytes / 2;
  }

  /** The tokens of the account, without counting it as used. */
  peek(account: AccountId): Tokens {
    return this.#halfOf(account).accounts.get(account) ?? [];
  }

  /** The tokens of the account, which counts as used now. */
  tokensOf(account: AccountId): Tokens {
    const newer = this.#newer.accounts.get(account);
    if (newer) return newer;
    const older = this.#older.accounts.get(account);
    if (!older) return [];
    this.#older.replace(account, older, []);
    this.replace(account, [], older);
    return older;
  }

  /**
   * If the account alone would take more than a half, it loses its first tokens.
   * @param before what {@link tokensOf} has just returned
   */
  replace(account: AccountId, before: Tokens, after: Tokens): void {
    let kept = after;
    while (bytesOf(kept) > this.#maxHalfBytes) kept = kept.slice(1);
    if (this.#newer.bytes + bytesOf(kept) - bytesOf(before) <= this.#maxHalfBytes) {
      this.#newer.replace(account, before, kept);
      return;
    }
    this.#newer.replace(account, before, []);
    this.#older = this.#newer;
    this.#newer = new Half();
    this.#newer.replace(account, [], kept);
  }

  /** Removes the other tokens of the account. */
  keep(account: AccountId, isKept: (entry: CachedToken) => boolean): void {
    const before = this.peek(account);
    this.#halfOf(account).replace(account, before, before.filter(isKept));
  }

  #halfOf(account: AccountId): Half {
    return this.#newer.accounts.has(account) ? this.#newer : this.#older;
  }

  get size(): number {
    return this.#newer.tokens + this.#older.tokens;
  }

  get bytes(): number {
    return this.#newer.bytes + this.#older.bytes;
  }

  /** Those of the newer half come first. */
  *tokens(): Generator<CachedToken> {
    for (const { accounts } of [this.#newer, this.#older]) for (const tokens of accounts.values()) yield* tokens;
  }
}

/**
 * This replica's memory of tokens. A fresh entry is served without asking the store. A stale entry stays until its eviction
 * or logout, because it is the answer during an outage of the store. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #recent: RecentAccounts;
  readonly #floors = new LRUCache<SubjectId | AccountId, Floor>({ max: MAX_FLOORS });

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#recent = new RecentAccounts(options.maxBytes);
    options.announcements.subscribe((announcement) => this.#onAnnouncement(announcement));
  }

  /** Returns the entry if it may be served without asking the store. */
  getFresh(id: SubjectId, now: number): CachedToken | undefined {
    const entry = this.getStale(id);
    return entry && this.#isFresh(entry, now) ? entry : undefined;
  }

  #isFresh({ checkedAt }: CachedToken, now: number): boolean {
    const age = now - checkedAt;
    // A negative age means that the clock was set back.
    if (age < FRESH_UNANNOUNCED_MS) return age >= 0;
    const since = this.#options.announcements.completeSince();
    return since !== undefined && checkedAt >= since && age < FRESH_ANNOUNCED_MS;
  }

  /** Returns the entry, fresh or stale. */
  getStale(id: SubjectId): CachedToken | undefined {
    return this.#recent.tokensOf(accountOf(id)).find((entry) => entry.id === id);
  }

  /**
   * Adds a record from the store, unless memory has a newer one. Returns the newer entry.
   * @param checkedAt when the store was asked, epoch ms
   * @param erasedAt the account's last erasure according to the store, epoch ms
   * @param id the id of `record.subject`, if the caller has it
   */
  put(
    record: TokenRecord,
    checkedAt: number,
    erasedAt: number | undefined,
    id: SubjectId = subjectId(record.subject),
  ): CachedToken {
    const account = accountOf(id);
    const tokens = this.#recent.tokensOf(account);
    const known = tokens.find((entry) => entry.id === id);
    if (known && known.served.record.generation > record.generation) return known;
    // Two logins without a lease can have the same generation. The store keeps one of their tokens.
    const same = known && isSameToken(known.served.record, record) ? known : undefined;
    const isNewest = checkedAt > this.#announcedAt(id);
    const entry: CachedToken = {
      id,
      served: same?.served ?? serveToken(record),
      checkedAt,
      erasedAt: isNewest ? erasedAt : latest(erasedAt, this.erasedAt(id)),
      renewFrom: same?.renewFrom ?? earliestRenewal(record.token, this.#options.policy),
      markedRead: record.read || same?.markedRead === true,
    };
    if (isNewest || record.generation >= this.oldestValid(id)) {
      this.#recent.replace(account, tokens, [...tokens.filter((other) => other !== known), entry]);
    }
    return entry;
  }

  /** Number of tokens. */
  get size(): number {
    return this.#recent.size;
  }

  /** Approximate memory of the tokens. */
  get bytes(): number {
    return this.#recent.bytes;
  }

  /** The records as the store has them: with the reads that it was told of. */
  *records(): Generator<[SubjectId, TokenRecord]> {
    for (const { id, served, markedRead } of this.#recent.tokens()) {
      yield [id, { ...served.record, read: markedRead }];
    }
  }

  /** Returns the account's last erasure (epoch ms) if this replica knows it. */
  erasedAt(id: SubjectId): number | undefined {
    const account = accountOf(id);
    const known = this.#recent.peek(account).find((entry) => entry.id === id);
    return latest(known?.erasedAt, this.#floors.get(account)?.generation);
  }

  /**
   * Replaces an entry by a newer token. Adds no entry for a subject that is not read on this replica.
   * @param checkedAt when the store was asked to save the record, epoch ms; `-Infinity` if it has not confirmed it
   */
  renew(record: TokenRecord, id: SubjectId, checkedAt: number): void {
    const known = this.getStale(id);
    if (known) this.put(record, checkedAt, known.erasedAt, id);
  }

  /** Removes the terminal's token unless it is newer than `generation`, and refuses older ones from now on. */
  forget(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    this.#recent.keep(accountOf(id), (entry) => entry.id !== id || entry.served.record.generation > generation);
    if (Number.isFinite(generation)) this.#raiseFloor(id, generation);
  }

  /** Removes the account's tokens up to `generation`, and refuses older ones from now on. */
  forgetAccount(account: AccountId, generation: number): void {
    this.#recent.keep(account, ({ served }) => served.record.generation > generation);
    this.#raiseFloor(account, generation);
  }

  #onAnnouncement(announcement: Announcement): void {
    switch (announcement.kind) {
      case 'erased':
        this.forgetAccount(announcement.account, announcement.generation);
        break;
      case 'removed':
        this.forget(announcement.id, announcement.generation);
        break;
      case 'saved':
        this.#invalidate(announcement.id, announcement.generation);
    }
  }

  #invalidate(id: SubjectId, generation: number): void {
    this.#raiseFloor(id, generation);
    const entry = this.getStale(id);
    if (entry && entry.served.record.generation < generation) entry.checkedAt = Number.NEGATIVE_INFINITY;
  }

  #raiseFloor(id: SubjectId | AccountId, generation: number): void {
    const known = this.#floors.get(id)?.generation ?? 0;
    this.#floors.set(id, { generation: Math.max(generation, known), raisedAt: this.#options.clock.now() });
  }

  /** When the last change of the subject or its account was announced: epoch ms. */
  #announcedAt(id: SubjectId): number {
    const [own, account] = [this.#floors.get(id), this.#floors.get(accountOf(id))];
    return Math.max(own?.raisedAt ?? Number.NEGATIVE_INFINITY, account?.raisedAt ?? Number.NEGATIVE_INFINITY);
  }

  /** Returns the oldest valid generation of the subject, as far as this replica knows. */
  oldestValid(id: SubjectId): number {
    return Math.max(this.#floors.get(id)?.generation ?? 0, this.#floors.get(accountOf(id))?.generation ?? 0);
  }
}

function isSameToken(one: TokenRecord, other: TokenRecord): boolean {
  return one.generation === other.generation && one.token.fields['accessToken'] === other.token.fields['accessToken'];
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}
