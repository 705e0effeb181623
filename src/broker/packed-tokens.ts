import { randomInt } from 'node:crypto';
import { type ServedToken, serveBody } from '../token/sdk-token.ts';
import { type AccountId, DIGEST_LENGTH, numberIn, type SubjectId } from '../token/subject.ts';

/** A token and what memory knows of it. */
export interface PackedToken {
  readonly id: SubjectId;
  readonly served: ServedToken;
  /** When the store confirmed it: epoch ms. `-Infinity`: not yet, or a newer token was announced. */
  readonly checkedAt: number;
  /** Epoch ms of the account's last erasure. */
  readonly erasedAt: number | undefined;
}

interface FoundToken extends Pick<PackedToken, 'checkedAt' | 'erasedAt'> {
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** The numbers of a token, by their offsets in bytes. Its text follows them. */
const TEXT_BYTES = 0;
/** Seven characters of the account's digest as a number, or {@link REMOVED}. It saves most comparisons of texts. */
const MARK = 8;
/** The position of the token that was added before it in the same bucket. */
const EARLIER = 16;
const GENERATION = 24;
const UNREAD_RENEWALS = 32;
const ISSUED_AT = 40;
const EXPIRES_AT = 48;
const CHECKED_AT = 56;
/** NaN: unknown. */
const ERASED_AT = 64;
const READ = 72;
const TEXT = 73;

const REMOVED = 0;
const ID_LENGTH = 2 * DIGEST_LENGTH;
const BYTES_PER_BUCKET = 512;
/** `Buffer.toString` of Node.js 20 takes offsets of 31 bits. */
const LARGEST_BLOCK = 2 ** 31;

/**
 * Tokens in one block of memory outside of the heap. Most tokens are read once a day or less. As objects, each would keep
 * garbage collection busy with 25 pieces (docs/adr/0012-packed-tokens.md).
 *
 * The block is a ring: a new token overwrites the oldest ones. A position counts all bytes that were written before it, so
 * a token is overwritten if its position is before {@link #start}. A token is in one piece, so the end of the block may
 * remain unused: as a removed token, or without any header if it is too short for one.
 *
 * Accounts are spread over buckets. A bucket knows its latest token, and each token the one before it in its bucket.
 */
export class PackedTokens {
  readonly #bytes: Buffer;
  readonly #numbers: DataView;
  /** The position of the latest token of each bucket. */
  readonly #latest: Float64Array;
  /** Keeps the buckets unknown, so that accounts with chosen names cannot share one and slow each other down. */
  readonly #secret = randomInt(2 ** 31, 2 ** 32);
  #start: number;
  #end: number;
  #size = 0;

  /** @param maxBytes with the index of the buckets; more than 2 GiB count as 2 GiB. The system provides them with use */
  constructor(maxBytes: number) {
    const bytes = Math.min(Math.floor(maxBytes), LARGEST_BLOCK);
    this.#latest = new Float64Array(Math.ceil(bytes / BYTES_PER_BUCKET));
    const { buffer } = new Uint8Array(bytes - this.#latest.byteLength);
    this.#bytes = Buffer.from(buffer);
    this.#numbers = new DataView(buffer);
    // No token is at position 0, which stands for none.
    this.#start = this.#bytes.length;
    this.#end = this.#start;
  }

  /** Number of tokens. */
  get size(): number {
    return this.#size;
  }

  /** The bytes that tokens take, also removed ones that are not overwritten yet. */
  get bytes(): number {
    return this.#end - this.#start;
  }

  /**
   * Adds a token, in place of the terminal's former one. A token that is larger than the block is not kept.
   * It takes the same bytes if it has the same length. So reading or renewing one token again and again overwrites no
   * others.
   * @param isUsed whether an app has read it now. It then counts as new if half of the block has been written since
   * @returns `false` if the block has a newer token of the terminal, which stays
   */
  add({ id, served, checkedAt, erasedAt = Number.NaN }: PackedToken, isUsed: boolean): boolean {
    const { subject, region, token, generation, read, unreadRenewals } = served.record;
    const former = this.#search(id);
    if (former !== undefined && this.#get(former, GENERATION) > generation) return false;
    const { app, unionId, uniqueId } = subject;
    // JSON contains no line feed.
    const text = `${id}${JSON.stringify([app, unionId, uniqueId, region])}\n${served.body}`;
    const textBytes = Buffer.byteLength(text);
    const fits = former !== undefined && this.#get(former, TEXT_BYTES) === textBytes;
    const position = fits && !(isUsed && this.#isOld(former)) ? former : this.#append(id, textBytes, former);
    if (position === undefined) return true;
    this.#bytes.write(text, this.#offset(position) + TEXT);
    this.#set(position, GENERATION, generation);
    this.#set(position, UNREAD_RENEWALS, unreadRenewals);
    this.#set(position, ISSUED_AT, token.issuedAt);
    this.#set(position, EXPIRES_AT, token.expiresAt);
    this.#set(position, CHECKED_AT, checkedAt);
    this.#set(position, ERASED_AT, erasedAt);
    this.#numbers.setUint8(this.#offset(position) + READ, read ? 1 : 0);
    return true;
  }

  /** Looks at a token without unpacking it. */
  find(id: SubjectId): FoundToken | undefined {
    const position = this.#search(id);
    if (position === undefined) return undefined;
    return {
      expiresAt: this.#get(position, EXPIRES_AT),
      checkedAt: this.#get(position, CHECKED_AT),
      erasedAt: this.#erasedAt(position),
    };
  }

  tokensOf(account: AccountId): PackedToken[] {
    return [...this.#positionsOf(account)].map((position) => this.#unpack(position));
  }

  /** Makes a token unconfirmed if it is older than `generation`. */
  invalidate(id: SubjectId, generation: number): void {
    const position = this.#search(id);
    if (position === undefined || this.#get(position, GENERATION) >= generation) return;
    this.#set(position, CHECKED_AT, Number.NEGATIVE_INFINITY);
  }

  /** Removes the tokens of an account or of a terminal up to `generation`. */
  remove(owner: AccountId | SubjectId, generation: number): void {
    for (const position of this.#positionsOf(owner)) {
      if (this.#get(position, GENERATION) <= generation) this.#remove(position);
    }
  }

  /** The tokens that the store confirmed up to `checkedUntil` and that end after `now`. They may change between two. */
  *tokens(checkedUntil: number, now: number): Generator<PackedToken> {
    let position = this.#start;
    while (position < this.#end) {
      const next = this.#following(position);
      const isWanted =
        this.#isToken(position) &&
        this.#get(position, CHECKED_AT) <= checkedUntil &&
        this.#get(position, EXPIRES_AT) > now;
      if (isWanted) yield this.#unpack(position);
      position = Math.max(next, this.#start);
    }
  }

  /** @returns `undefined` if the token is larger than the block */
  #append(id: SubjectId, textBytes: number, former: number | undefined): number | undefined {
    if (former !== undefined) this.#remove(former);
    const length = TEXT + textBytes;
    if (length > this.#bytes.length) return undefined;
    const left = this.#leftAt(this.#end);
    if (left < length) this.#fill(left);
    const position = this.#overwrite(length);
    const mark = numberIn(id);
    const bucket = this.#bucketOf(mark);
    this.#set(position, TEXT_BYTES, textBytes);
    this.#set(position, MARK, mark);
    this.#set(position, EARLIER, this.#latest[bucket] ?? 0);
    this.#latest[bucket] = position;
    this.#size += 1;
    return position;
  }

  #fill(length: number): void {
    const position = this.#overwrite(length);
    if (length <= TEXT) return;
    this.#set(position, TEXT_BYTES, length - TEXT);
    this.#set(position, MARK, REMOVED);
  }

  /** @returns the position of the bytes */
  #overwrite(length: number): number {
    while (this.#end + length - this.#start > this.#bytes.length) {
      if (this.#isToken(this.#start)) this.#size -= 1;
      this.#start = this.#following(this.#start);
    }
    this.#end += length;
    return this.#end - length;
  }

  #isToken(position: number): boolean {
    return this.#isRoomForToken(position) && this.#get(position, MARK) !== REMOVED;
  }

  #following(position: number): number {
    return (
      position + (this.#isRoomForToken(position) ? TEXT + this.#get(position, TEXT_BYTES) : this.#leftAt(position))
    );
  }

  #isRoomForToken(position: number): boolean {
    return this.#leftAt(position) > TEXT;
  }

  /** The bytes up to the end of the block. */
  #leftAt(position: number): number {
    return this.#bytes.length - this.#offset(position);
  }

  /** Whether half of the block has been written since. */
  #isOld(position: number): boolean {
    return this.#end - position > this.#bytes.length / 2;
  }

  *#positionsOf(owner: AccountId | SubjectId): Generator<number> {
    for (let position = this.#search(owner); position !== undefined; ) {
      const earlier = this.#get(position, EARLIER);
      yield position;
      position = this.#search(owner, earlier);
    }
  }

  /** The latest token of an account or a terminal, or the latest up to `from`. */
  #search(owner: AccountId | SubjectId, from?: number): number | undefined {
    const mark = numberIn(owner);
    let position = from ?? this.#latest[this.#bucketOf(mark)] ?? 0;
    while (position >= this.#start) {
      if (this.#get(position, MARK) === mark && this.#text(position, owner.length) === owner) return position;
      position = this.#get(position, EARLIER);
    }
    return undefined;
  }

  #text(position: number, bytes: number = this.#get(position, TEXT_BYTES)): string {
    const at = this.#offset(position) + TEXT;
    return this.#bytes.toString('utf8', at, at + bytes);
  }

  #unpack(position: number): PackedToken {
    const text = this.#text(position);
    const bodyAt = text.indexOf('\n') + 1;
    const [app, unionId, uniqueId, region] = JSON.parse(text.slice(ID_LENGTH, bodyAt));
    return {
      id: text.slice(0, ID_LENGTH) as SubjectId,
      served: serveBody(text.slice(bodyAt), {
        subject: { app, unionId, uniqueId },
        region,
        token: { issuedAt: this.#get(position, ISSUED_AT), expiresAt: this.#get(position, EXPIRES_AT) },
        generation: this.#get(position, GENERATION),
        read: this.#numbers.getUint8(this.#offset(position) + READ) === 1,
        unreadRenewals: this.#get(position, UNREAD_RENEWALS),
      }),
      checkedAt: this.#get(position, CHECKED_AT),
      erasedAt: this.#erasedAt(position),
    };
  }

  #remove(position: number): void {
    this.#set(position, MARK, REMOVED);
    this.#size -= 1;
  }

  #erasedAt(position: number): number | undefined {
    const erasedAt = this.#get(position, ERASED_AT);
    return Number.isNaN(erasedAt) ? undefined : erasedAt;
  }

  #get(position: number, field: number): number {
    return this.#numbers.getFloat64(this.#offset(position) + field);
  }

  #set(position: number, field: number, value: number): void {
    this.#numbers.setFloat64(this.#offset(position) + field, value);
  }

  #offset(position: number): number {
    return position % this.#bytes.length;
  }

  #bucketOf(mark: number): number {
    return (mark % this.#secret) % this.#latest.length;
  }
}
