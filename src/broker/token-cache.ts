import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import type { Announcement, AnnouncementFeed } from '../token/ports.ts';
import { earliestRenewal, type RefreshPolicy } from '../token/renewal-timing.ts';
import { type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../token/subject.ts';
import { type PackedToken, PackedTokens } from './packed-tokens.ts';

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

function bytesOf(tokens: Tokens): number {
  return tokens.reduce((sum, { served }) => sum + served.body.length + ENTRY_OVERHEAD_BYTES, 0);
}

/**
 * This replica's memory of tokens. A fresh entry is served without asking the store. A stale entry stays until its eviction
 * or logout, because it is the answer during an outage of the store. An older token never replaces a newer one.
 */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  /** The accounts that were used again, with all their tokens as objects. They take precedence over packed ones. */
  readonly #opened: LRUCache<AccountId, Tokens>;
  readonly #packed: PackedTokens;
  readonly #floors = new LRUCache<SubjectId | AccountId, Floor>({ max: MAX_FLOORS });

  constructor(options: TokenCacheOptions) {
    this.#options = options;
    this.#packed = new PackedTokens(options.maxBytes / 2);
    this.#opened = new LRUCache<AccountId, Tokens>({
      maxSize: Math.floor(options.maxBytes / 2),
      sizeCalculation: bytesOf,
      dispose: (tokens, _account, reason) => {
        if (reason === 'evict') for (const entry of tokens) this.#pack(entry);
      },
    });
    options.announcements.subscribe((announcement) => this.#onAnnouncement(announcement));
  }

  /** Returns the entry if it may be served without asking the store. */
  getFresh(id: SubjectId, now: number): CachedToken | undefined {
    const opened = this.#opened.get(accountOf(id));
    const entry = opened ? opened.find((one) => one.id === id) : this.#packed.find(id);
    if (!entry || !this.#isFresh(entry, now)) return undefined;
    return 'served' in entry ? entry : this.getStale(id);
  }

  #isFresh({ checkedAt }: Pick<CachedToken, 'checkedAt'>, now: number): boolean {
    const age = now - checkedAt;
    // A negative age means that the clock was set back.
    if (age < FRESH_UNANNOUNCED_MS) return age >= 0;
    const since = this.#options.announcements.completeSince();
    return since !== undefined && checkedAt >= since && age < FRESH_ANNOUNCED_MS;
  }

  /** Returns the entry, fresh or stale. */
  getStale(id: SubjectId): CachedToken | undefined {
    return this.#tokensOf(accountOf(id)).find((entry) => entry.id === id);
  }

  /** Opens the account's tokens. */
  #tokensOf(account: AccountId): Tokens {
    const opened = this.#opened.get(account);
    if (opened) return opened;
    const tokens = this.#packed.tokensOf(account).map((token) => this.#entryOf(token));
    this.#open(account, tokens);
    return tokens;
  }

  #open(account: AccountId, tokens: Tokens): void {
    const bytes = bytesOf(tokens);
    if (bytes > 0 && bytes <= this.#opened.maxSize) {
      this.#opened.set(account, tokens);
      return;
    }
    this.#opened.delete(account);
    for (const entry of tokens) this.#pack(entry);
  }

  #pack(entry: CachedToken): void {
    const { served, markedRead: read } = entry;
    const { record } = served;
    this.#packed.add(
      record.read === read ? entry : { ...entry, served: { ...served, record: { ...record, read } } },
      false,
    );
  }

  #entryOf({ id, served, checkedAt, erasedAt }: PackedToken): CachedToken {
    const { record } = served;
    const renewFrom = earliestRenewal(record.token, this.#options.policy);
    return { id, served, erasedAt, checkedAt, renewFrom, markedRead: record.read };
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
    return this.#put(record, checkedAt, erasedAt, id, true);
  }

  #put(
    record: TokenRecord,
    checkedAt: number,
    erasedAt: number | undefined,
    id: SubjectId,
    isUsed: boolean,
  ): CachedToken {
    const account = accountOf(id);
    const isNewest = checkedAt > this.#announcedAt(id);
    const erased = isNewest ? erasedAt : latest(erasedAt, this.erasedAt(id));
    const isValid = isNewest || record.generation >= this.oldestValid(id);
    // The object says whether the store was told of the first read, and when the next read may ask for a renewal.
    const isDue = this.#options.clock.now() >= earliestRenewal(record.token, this.#options.policy);
    // An outdated record is not kept, but memory may have a newer one to return.
    const needsObject = !isValid || this.#opened.has(account) || (isUsed && (isDue || !record.read));
    if (!needsObject) {
      const entry = this.#entryOf({ id, served: serveToken(record), checkedAt, erasedAt: erased });
      if (this.#packed.add(entry, isUsed)) return entry;
    }
    const tokens = this.#tokensOf(account);
    const known = tokens.find((entry) => entry.id === id);
    if (known && known.served.record.generation > record.generation) return known;
    // Two logins without a lease can have the same generation. The store keeps one of their tokens.
    const same = known && isSameToken(known.served.record, record) ? known : undefined;
    const entry = this.#entryOf({ id, served: same?.served ?? serveToken(record), checkedAt, erasedAt: erased });
    if (same) entry.renewFrom = same.renewFrom;
    entry.markedRead = record.read || same?.markedRead === true;
    if (isValid) this.#open(account, [...tokens.filter((other) => other !== known), entry]);
    return entry;
  }

  /** Number of tokens. */
  get size(): number {
    const opened = [...this.#opened.values()].flat();
    return this.#packed.size + opened.filter(({ id }) => !this.#packed.find(id)).length;
  }

  /** Approximate memory of the tokens. */
  get bytes(): number {
    return this.#opened.calculatedSize + this.#packed.bytes;
  }

  /**
   * The records as the store has them, with the reads that it was told of: those that it confirmed up to `checkedUntil`
   * and that have not ended. Memory may change between two of them.
   */
  *records(checkedUntil = Number.POSITIVE_INFINITY): Generator<[SubjectId, TokenRecord]> {
    const now = this.#options.clock.now();
    const recordOf = ({ served, markedRead }: CachedToken) => ({ ...served.record, read: markedRead });
    for (const { id, served } of this.#packed.tokens(checkedUntil, now)) {
      const opened = this.#opened.peek(accountOf(id))?.find((entry) => entry.id === id);
      yield [id, opened ? recordOf(opened) : served.record];
    }
    // The others: their packed copy was overwritten, has ended, or never existed.
    const isListed = (token: { readonly expiresAt: number } | undefined) =>
      token !== undefined && token.expiresAt > now;
    const opened = [...this.#opened.values()].flat();
    const rest = opened.filter(
      ({ id, checkedAt, served }) =>
        checkedAt <= checkedUntil && isListed(served.record.token) && !isListed(this.#packed.find(id)),
    );
    for (const entry of rest) if (this.#isKnown(entry.id)) yield [entry.id, recordOf(entry)];
  }

  /** Returns the account's last erasure (epoch ms) if this replica knows it. */
  erasedAt(id: SubjectId): number | undefined {
    const account = accountOf(id);
    const known = this.#opened.peek(account)?.find((entry) => entry.id === id) ?? this.#packed.find(id);
    return latest(known?.erasedAt, this.#floors.get(account)?.generation);
  }

  /**
   * Replaces an entry by a newer token. Adds no entry for a subject that is not read on this replica.
   * @param checkedAt when the store was asked to save the record, epoch ms; `-Infinity` if it has not confirmed it
   */
  renew(record: TokenRecord, id: SubjectId, checkedAt: number): void {
    if (this.#isKnown(id)) this.#put(record, checkedAt, this.erasedAt(id), id, false);
  }

  #isKnown(id: SubjectId): boolean {
    const opened = this.#opened.peek(accountOf(id));
    return opened ? opened.some((entry) => entry.id === id) : this.#packed.find(id) !== undefined;
  }

  /** Removes the terminal's token unless it is newer than `generation`, and refuses older ones from now on. */
  forget(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    this.#remove(id, generation);
    if (Number.isFinite(generation)) this.#raiseFloor(id, generation);
  }

  /** Removes the account's tokens up to `generation`, and refuses older ones from now on. */
  forgetAccount(account: AccountId, generation: number): void {
    this.#remove(account, generation);
    this.#raiseFloor(account, generation);
  }

  #remove(owner: SubjectId | AccountId, generation: number): void {
    const account = accountOf(owner);
    const opened = this.#opened.peek(account);
    const isKept = ({ id, served }: CachedToken) => !id.startsWith(owner) || served.record.generation > generation;
    if (opened) this.#open(account, opened.filter(isKept));
    this.#packed.remove(owner, generation);
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
    const opened = this.#opened.peek(accountOf(id))?.find((entry) => entry.id === id);
    if (opened && opened.served.record.generation < generation) opened.checkedAt = Number.NEGATIVE_INFINITY;
    this.#packed.invalidate(id, generation);
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
