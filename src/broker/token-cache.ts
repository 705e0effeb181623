import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, AnnouncementFeed } from '../token/ports.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../token/subject.ts';

/** How long an entry is believed without asking the store: while every change is announced, and otherwise. */
const TRUST_ANNOUNCED_MS = 60_000;
const TRUST_UNANNOUNCED_MS = 2_000;
/** What an entry takes of the process beside its body, as measured with 100,000 of them. */
const ENTRY_OVERHEAD_BYTES = 2_000;
/** Of how many subjects and accounts that changed lately it is remembered, lest a late read bring the old token back. */
const FLOORS = 50_000;

/**
 * Where the newest entry of a subject is found for as long as memory holds one, without looking it up again; which does
 * not count as a use: it may be pushed out by what was looked up since.
 */
export interface TokenSlot {
  readonly entry: CachedToken | undefined;
}

export interface CachedToken {
  readonly slot: TokenSlot;
  readonly served: ServedToken;
  /** Epoch ms of the account's last erasure: older sessions are not to be believed. */
  readonly erasedAt: number | undefined;
  /** Epoch ms at which the store was asked for it; -Infinity once a newer one is announced. */
  checkedAt: number;
  /** Epoch ms up to which it is served without a thought of renewing it. */
  freshUntil: number;
  /** Whether the store knows that an app has read it. */
  markedRead: boolean;
}

export interface TokenCacheOptions {
  readonly announcements: AnnouncementFeed;
  readonly clock: Clock;
  readonly maxBytes: number;
  /** Epoch ms up to which a record is fresh. */
  readonly freshUntil: (record: TokenRecord, id: SubjectId) => number;
}

/**
 * This replica's memory of tokens. An entry is trusted for a while without asking the store, and kept until it is pushed
 * out or logged out, as the answer when the store cannot be asked. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #entries: LRUCache<SubjectId, CachedToken>;
  /** The oldest generation of a subject, or of an account, that may still be believed. */
  readonly #floors = new LRUCache<SubjectId | AccountId, number>({ max: FLOORS });

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#entries = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: ({ served }) => served.body.length + ENTRY_OVERHEAD_BYTES,
      dispose: ({ slot }) => fill(slot, undefined),
      onInsert: (entry) => fill(entry.slot, entry),
    });
    options.announcements.subscribe((announcement) => this.#hear(announcement));
  }

  /** The entry, where it may be served without asking the store. */
  getFresh(id: SubjectId, now: number): CachedToken | undefined {
    const entry = this.#entries.get(id);
    return entry && this.isFresh(entry, now) ? entry : undefined;
  }

  /** Whether an entry may be served without asking the store. */
  isFresh({ checkedAt }: CachedToken, now: number): boolean {
    const age = now - checkedAt;
    if (age < TRUST_UNANNOUNCED_MS) return true;
    const since = this.#options.announcements.completeSince();
    return since !== undefined && checkedAt >= since && age < TRUST_ANNOUNCED_MS;
  }

  /** The entry, trusted or not: for when the store cannot be asked. */
  getStale(id: SubjectId): CachedToken | undefined {
    return this.#entries.get(id);
  }

  /**
   * Remembers what the store said, unless something newer is known.
   * @param checkedAt epoch ms at which the store was asked
   * @param erasedAt what it said of the account's last erasure
   * @param id the subject's, where it is at hand
   */
  put(
    record: TokenRecord,
    checkedAt: number,
    erasedAt: number | undefined,
    id: SubjectId = subjectId(record.subject),
  ): CachedToken {
    const known = this.#entries.get(id);
    if (known && known.served.record.generation > record.generation) return known;
    const same = known?.served.record.generation === record.generation ? known : undefined;
    const entry: CachedToken = {
      slot: known?.slot ?? { entry: undefined },
      served: same?.served ?? serveToken(record),
      checkedAt,
      erasedAt: latest(erasedAt, this.erasedAt(id)),
      freshUntil: same?.freshUntil ?? this.#options.freshUntil(record, id),
      markedRead: record.read || same?.markedRead === true,
    };
    if (record.generation >= this.#floorOf(id)) this.#entries.set(id, entry);
    return entry;
  }

  /** How many tokens it holds. */
  get size(): number {
    return this.#entries.size;
  }

  /** What they take, roughly. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** Every record it holds. */
  *records(): Generator<TokenRecord> {
    for (const { served } of this.#entries.values()) yield served.record;
  }

  /** Epoch ms of the account's last erasure, where this replica knows of it. */
  erasedAt(id: SubjectId): number | undefined {
    return latest(this.#entries.peek(id)?.erasedAt, this.#floors.get(accountOf(id)));
  }

  /** Lays a newer token over one that is being read here; tokens nobody reads here take no memory. */
  renew(record: TokenRecord, id: SubjectId): void {
    const known = this.#entries.get(id);
    if (known) this.put(record, this.#options.clock.now(), known.erasedAt, id);
  }

  /** Forgets the terminal's token, unless it is newer than `generation`; none older is remembered any more. */
  forget(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    const known = this.#entries.get(id);
    if (known && known.served.record.generation <= generation) this.#entries.delete(id);
    if (Number.isFinite(generation)) this.#raise(id, generation);
  }

  /** Forgets the account's tokens, and any that is older than `generation`. */
  forgetAccount(account: AccountId, generation: number): void {
    this.#raise(account, generation);
    for (const id of this.#entries.keys()) {
      if (accountOf(id) === account) this.forget(id, generation);
    }
  }

  #hear(announcement: Announcement): void {
    const { kind, generation } = announcement;
    if (kind === 'erased') this.forgetAccount(announcement.account, generation);
    if (kind === 'removed') this.forget(announcement.id, generation);
    if (kind === 'saved') this.#outdate(announcement.id, generation);
  }

  #outdate(id: SubjectId, generation: number): void {
    this.#raise(id, generation);
    const entry = this.#entries.get(id);
    if (entry && entry.served.record.generation < generation) entry.checkedAt = Number.NEGATIVE_INFINITY;
  }

  #raise(id: SubjectId | AccountId, generation: number): void {
    this.#floors.set(id, Math.max(generation, this.#floors.get(id) ?? 0));
  }

  #floorOf(id: SubjectId): number {
    return Math.max(this.#floors.get(id) ?? 0, this.#floors.get(accountOf(id)) ?? 0);
  }
}

function fill(slot: { entry: CachedToken | undefined }, entry: CachedToken | undefined): void {
  slot.entry = entry;
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}
