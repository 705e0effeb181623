import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, AnnouncementFeed } from '../token/ports.ts';
import { earliestRenewal, type RefreshPolicy } from '../token/renewal-timing.ts';
import { serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../token/subject.ts';
import { type CachedToken, PackedTokens } from './packed-tokens.ts';

/** How long an entry is fresh: while announcements arrive without a gap, and otherwise. */
const FRESH_ANNOUNCED_MS = 60_000;
const FRESH_UNANNOUNCED_MS = 2_000;
/** Maximum number of remembered invalidations. They keep a late read from restoring an old token. */
const MAX_FLOORS = 50_000;

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

/** Facts that come with a record. */
export interface RecordFacts {
  /** The id of its subject, if the caller has it. */
  readonly id?: SubjectId;
  /** When the store was asked for it, or to save it: epoch ms. `-Infinity`: the store has not confirmed it. */
  readonly checkedAt: number;
  /** The account's last erasure: epoch ms. */
  readonly erasedAt: number | undefined;
  /** Whether an app has read the token now. Default: true. */
  readonly isUsed?: boolean;
}

/**
 * This replica's memory of tokens. A fresh entry is served without asking the store. A stale entry stays until it is overwritten
 * or removed, because it is the answer during an outage of the store. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #tokens: PackedTokens;
  readonly #floors = new LRUCache<SubjectId | AccountId, Floor>({ max: MAX_FLOORS });

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#tokens = new PackedTokens(options.maxBytes);
    options.announcements.subscribe((announcement) => this.#onAnnouncement(announcement));
  }

  /** Returns the entry if it may be served without asking the store. */
  getFresh(id: SubjectId, now: number): CachedToken | undefined {
    const entry = this.#tokens.find(id);
    return entry && this.#isFresh(entry, now) ? entry : undefined;
  }

  #isFresh({ checkedAt }: CachedToken, now: number): boolean {
    const age = now - checkedAt;
    // A negative age means that the clock was set back.
    if (age < FRESH_UNANNOUNCED_MS) return age >= 0;
    const since = this.#options.announcements.completeSince();
    return since !== undefined && checkedAt >= since && age < FRESH_ANNOUNCED_MS;
  }

  /** Returns the entry, fresh or stale. It counts as read, so that it stays in memory while the store is down. */
  getStale(id: SubjectId): CachedToken | undefined {
    const entry = this.#tokens.find(id);
    return entry && this.#tokens.add(entry, true);
  }

  /** Adds a record, unless memory has a newer one. Returns the newer entry. */
  put(record: TokenRecord, facts: RecordFacts): CachedToken {
    const { id = subjectId(record.subject), checkedAt, erasedAt, isUsed = true } = facts;
    const isNewest = checkedAt > this.#announcedAt(id);
    const knownErasure = isNewest ? erasedAt : latest(erasedAt, this.erasedAt(id));
    const renewFrom = earliestRenewal(record.token, this.#options.policy);
    const entry = { id, served: serveToken(record), checkedAt, erasedAt: knownErasure, renewFrom };
    if (isNewest || record.generation >= this.oldestValid(id)) return this.#tokens.add(entry, isUsed);
    // An outdated record is not kept, but memory may have a newer one.
    const known = this.#tokens.find(id);
    return known && known.served.record.generation > record.generation ? known : entry;
  }

  /**
   * Notes whether the store knows that an app has read this generation of the terminal's token.
   * @returns whether memory has the token, and this is new
   */
  setRead(id: SubjectId, generation: number, read: boolean): boolean {
    return this.#tokens.setRead(id, generation, read);
  }

  /** Reads of this generation of the terminal's token ask for no renewal before `renewFrom` (epoch ms). */
  setRenewFrom(id: SubjectId, generation: number, renewFrom: number): void {
    this.#tokens.setRenewFrom(id, generation, renewFrom);
  }

  /** Number of tokens. */
  get size(): number {
    return this.#tokens.size;
  }

  /** Memory of the tokens. */
  get bytes(): number {
    return this.#tokens.bytes;
  }

  /**
   * The records as the store has them, with the reads that it was told of: those that it confirmed up to `checkedUntil`
   * and that have not ended. Memory may change between two of them.
   */
  *records(checkedUntil = Number.POSITIVE_INFINITY): Generator<[SubjectId, TokenRecord]> {
    const entries = this.#tokens.tokens(checkedUntil, this.#options.clock.now());
    for (const { id, served } of entries) yield [id, served.record];
  }

  /** Returns the account's last erasure (epoch ms) if this replica knows it. */
  erasedAt(id: SubjectId): number | undefined {
    return latest(this.#tokens.find(id)?.erasedAt, this.#floors.get(accountOf(id))?.generation);
  }

  /**
   * Replaces an entry by a newer token. Adds no entry for a subject that is not in memory.
   * @param checkedAt when the store was asked to save the record, epoch ms; `-Infinity` if it has not confirmed it
   */
  renew(record: TokenRecord, id: SubjectId, checkedAt: number): void {
    if (this.#tokens.find(id)) this.put(record, { id, checkedAt, erasedAt: this.erasedAt(id), isUsed: false });
  }

  /** Removes the terminal's token unless it is newer than `generation`, and refuses older ones from now on. */
  forget(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    this.#tokens.remove(id, generation);
    if (Number.isFinite(generation)) this.#raiseFloor(id, generation);
  }

  /** Removes the account's tokens up to `generation`, and refuses older ones from now on. */
  forgetAccount(account: AccountId, generation: number): void {
    this.#tokens.remove(account, generation);
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
    this.#tokens.invalidate(id, generation);
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

function latest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}
