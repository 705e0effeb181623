import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, AnnouncementFeed } from '../token/ports.ts';
import { type RefreshPolicy, refreshAt } from '../token/renewal-timing.ts';
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
  readonly served: ServedToken;
  /** Epoch ms of the account's last erasure. Older sessions are refused. */
  readonly erasedAt: number | undefined;
  /** When the store confirmed it: epoch ms. `-Infinity` before that, and after a newer token was announced. */
  checkedAt: number;
  /** From this time (epoch ms) a read asks for a renewal. */
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

/**
 * This replica's memory of tokens. A fresh entry is served without asking the store. A stale entry stays until its eviction
 * or logout, because it is the answer during an outage of the store. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #entries: LRUCache<SubjectId, CachedToken>;
  /** The ids in {@link #entries} of each account. Most accounts have one terminal, and a set takes 200 bytes. */
  readonly #ofAccount = new Map<AccountId, SubjectId | Set<SubjectId>>();
  readonly #floors = new LRUCache<SubjectId | AccountId, Floor>({ max: MAX_FLOORS });

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#entries = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: ({ served }) => served.body.length + ENTRY_OVERHEAD_BYTES,
      onInsert: (_entry, id, reason) => reason === 'add' && this.#addToAccount(id),
      dispose: (_entry, id, reason) => reason !== 'set' && this.#removeFromAccount(id),
    });
    options.announcements.subscribe((announcement) => this.#onAnnouncement(announcement));
  }

  /** Returns the entry if it may be served without asking the store. */
  getFresh(id: SubjectId, now: number): CachedToken | undefined {
    const entry = this.#entries.get(id);
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
    return this.#entries.get(id);
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
    const known = this.#entries.get(id);
    if (known && known.served.record.generation > record.generation) return known;
    // Two logins without a lease can have the same generation. The store keeps one of their tokens.
    const same = known && isSameToken(known.served.record, record) ? known : undefined;
    const isNewest = checkedAt > this.#announcedAt(id);
    const entry: CachedToken = {
      served: same?.served ?? serveToken(record),
      checkedAt,
      erasedAt: isNewest ? erasedAt : latest(erasedAt, this.erasedAt(id)),
      renewFrom: same?.renewFrom ?? refreshAt(record, this.#options.policy, id),
      markedRead: record.read || same?.markedRead === true,
    };
    if (isNewest || record.generation >= this.oldestValid(id)) this.#entries.set(id, entry);
    return entry;
  }

  #addToAccount(id: SubjectId): void {
    const account = accountOf(id);
    const known = this.#ofAccount.get(account);
    if (known instanceof Set) known.add(id);
    else this.#ofAccount.set(account, known === undefined ? id : new Set([known, id]));
  }

  #removeFromAccount(id: SubjectId): void {
    const account = accountOf(id);
    const known = this.#ofAccount.get(account);
    if (known instanceof Set && known.size > 1) known.delete(id);
    else this.#ofAccount.delete(account);
  }

  /** Number of tokens. */
  get size(): number {
    return this.#entries.size;
  }

  /** Approximate memory of the tokens. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** The records as the store has them: with the reads that it was told of. */
  *records(): Generator<[SubjectId, TokenRecord]> {
    for (const [id, { served, markedRead }] of this.#entries.entries()) {
      yield [id, { ...served.record, read: markedRead }];
    }
  }

  /** Returns the account's last erasure (epoch ms) if this replica knows it. */
  erasedAt(id: SubjectId): number | undefined {
    return latest(this.#entries.peek(id)?.erasedAt, this.#floors.get(accountOf(id))?.generation);
  }

  /**
   * Replaces an entry by a newer token. Adds no entry for a subject that is not read on this replica.
   * @param checkedAt when the store was asked to save the record, epoch ms; `-Infinity` if it has not confirmed it
   */
  renew(record: TokenRecord, id: SubjectId, checkedAt: number): void {
    const known = this.#entries.get(id);
    if (known) this.put(record, checkedAt, known.erasedAt, id);
  }

  /** Removes the terminal's token unless it is newer than `generation`, and refuses older ones from now on. */
  forget(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    const known = this.#entries.peek(id);
    if (known && known.served.record.generation <= generation) this.#entries.delete(id);
    if (Number.isFinite(generation)) this.#raiseFloor(id, generation);
  }

  /** Removes the account's tokens up to `generation`, and refuses older ones from now on. */
  forgetAccount(account: AccountId, generation: number): void {
    this.#raiseFloor(account, generation);
    const known = this.#ofAccount.get(account) ?? [];
    for (const id of typeof known === 'string' ? [known] : known) this.forget(id, generation);
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
    const entry = this.#entries.get(id);
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
