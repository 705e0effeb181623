import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, TokenStore } from '../token/ports.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type SubjectId, subjectId } from '../token/subject.ts';

/** How long an entry is believed without asking the store: while every change is announced, and otherwise. */
const TRUST_ANNOUNCED_MS = 60_000;
const TRUST_UNANNOUNCED_MS = 2_000;
/** What an entry takes beside its body, roughly. */
const ENTRY_OVERHEAD_BYTES = 1_500;
/** Of how many subjects that changed lately it is remembered, so that a late read cannot bring the old token back. */
const FLOORS = 50_000;

export interface CachedToken {
  readonly served: ServedToken;
  /** Epoch ms at which the store was asked for it; -Infinity once a newer one is announced. */
  checkedAt: number;
  /** Epoch ms up to which it is served without a thought of renewing it. */
  freshUntil: number;
  /** Whether the store knows that an app has read it. */
  markedRead: boolean;
}

export interface TokenCacheOptions {
  readonly store: Pick<TokenStore, 'subscribe' | 'announcedSince'>;
  readonly clock: Clock;
  readonly maxBytes: number;
  /** Epoch ms up to which a record is fresh. */
  readonly freshUntil: (record: TokenRecord) => number;
}

/**
 * This replica's memory of tokens. An entry is trusted for a while without asking the store, and kept until it is pushed
 * out or logged out, as the answer when the store cannot be asked. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #entries: LRUCache<SubjectId, CachedToken>;
  /** The oldest generation of a subject that may still be believed. */
  readonly #floors = new LRUCache<SubjectId, number>({ max: FLOORS });

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#entries = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: ({ served }) => served.body.length + ENTRY_OVERHEAD_BYTES,
    });
    options.store.subscribe((announcement) => this.#hear(announcement));
  }

  /** The entry, where it may be served without asking the store. */
  trusted(id: SubjectId, now: number): CachedToken | undefined {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    const age = now - entry.checkedAt;
    if (age >= TRUST_UNANNOUNCED_MS) {
      const since = this.#options.store.announcedSince();
      if (since === undefined || entry.checkedAt < since || age >= TRUST_ANNOUNCED_MS) return undefined;
    }
    return entry;
  }

  /** The entry, trusted or not: for when the store cannot be asked. */
  kept(id: SubjectId): CachedToken | undefined {
    return this.#entries.get(id);
  }

  /**
   * Remembers what the store said, unless something newer is known.
   * @param checkedAt epoch ms at which the store was asked
   */
  put(record: TokenRecord, checkedAt: number): CachedToken {
    const id = subjectId(record.subject);
    const known = this.#entries.get(id);
    if (known && known.served.record.generation > record.generation) return known;
    const same = known?.served.record.generation === record.generation ? known : undefined;
    const entry: CachedToken = {
      served: same?.served ?? serveToken(record),
      checkedAt,
      freshUntil: same?.freshUntil ?? this.#options.freshUntil(record),
      markedRead: record.read || same?.markedRead === true,
    };
    if (record.generation >= (this.#floors.get(id) ?? 0)) this.#entries.set(id, entry);
    return entry;
  }

  /** Lays a newer token over one that is being read here; tokens nobody reads here take no memory. */
  renew(record: TokenRecord): void {
    if (this.#entries.has(subjectId(record.subject))) this.put(record, this.#options.clock.now());
  }

  forget(id: SubjectId): void {
    this.#entries.delete(id);
  }

  #hear({ kind, id, generation }: Announcement): void {
    if (kind === 'failed') return;
    this.#floors.set(id, Math.max(generation, this.#floors.get(id) ?? 0));
    const entry = this.#entries.get(id);
    if (!entry || entry.served.record.generation >= generation) return;
    if (kind === 'removed') this.#entries.delete(id);
    else entry.checkedAt = Number.NEGATIVE_INFINITY;
  }
}
