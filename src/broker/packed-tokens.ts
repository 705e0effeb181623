import { randomInt } from 'node:crypto';
import type { TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, DIGEST_LENGTH, numberIn, type SubjectId } from '../token/subject.ts';

/** A token and what memory knows of it. */
export interface PackedToken {
  readonly id: SubjectId;
  readonly record: TokenRecord;
  /** When the store confirmed it: epoch ms. `-Infinity`: not since then. */
  readonly checkedAt: number;
  /** Epoch ms of the account's last erasure. */
  readonly erasedAt: number | undefined;
}

/** The numbers of a token, by their offsets in bytes. Its text follows them. */
const TEXT_BYTES = 0;
/** Stands for the account, {@link REMOVED} for none. Most lookups of another account end here. */
const MARK = 8;
/** The position of the token that was packed before it in the same bucket. */
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
/** Node.js 20 allows 4 GiB. */
const LARGEST_BLOCK = 2 ** 31;

/**
 * Tokens in one block of memory outside of the heap. Most tokens are read once a day or less. As objects, each would keep
 * garbage collection busy with 25 pieces, which takes 7 % of the CPU of a first read (benchmark scenario `first`).
 *
 * The block is a ring: a new token overwrites the oldest ones. Positions count the bytes written so far, so one before
 * {@link #start} is overwritten. Accounts are spread over buckets, and each token points to the earlier one of its bucket.
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

  /** @param maxBytes with the index of the buckets. The system provides them when they are used. At most 2 GiB are */
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
   * @param body JSON of the token's fields
   */
  add({ id, record, checkedAt, erasedAt = Number.NaN }: PackedToken, body: string): void {
    const { subject, region, token, generation, read, unreadRenewals } = record;
    const { app, unionId, uniqueId } = subject;
    // JSON contains no line feed.
    const text = `${id}${JSON.stringify([app, unionId, uniqueId, region])}\n${body}`;
    const textBytes = Buffer.byteLength(text);
    const mark = numberIn(id);
    const bucket = this.#bucketOf(mark);
    const former = this.#search(id);
    if (former !== undefined) this.#remove(former);
    const position = this.#reserve(TEXT + textBytes);
    if (position === undefined) return;
    const at = this.#offset(position);
    this.#numbers.setFloat64(at + TEXT_BYTES, textBytes);
    this.#numbers.setFloat64(at + MARK, mark);
    this.#numbers.setFloat64(at + EARLIER, this.#latest[bucket] ?? 0);
    this.#numbers.setFloat64(at + GENERATION, generation);
    this.#numbers.setFloat64(at + UNREAD_RENEWALS, unreadRenewals);
    this.#numbers.setFloat64(at + ISSUED_AT, token.issuedAt);
    this.#numbers.setFloat64(at + EXPIRES_AT, token.expiresAt);
    this.#numbers.setFloat64(at + CHECKED_AT, checkedAt);
    this.#numbers.setFloat64(at + ERASED_AT, erasedAt);
    this.#numbers.setUint8(at + READ, read ? 1 : 0);
    this.#bytes.write(text, at + TEXT);
    this.#latest[bucket] = position;
    this.#size += 1;
  }

  /** Looks at a token where it is. */
  find(id: SubjectId): (Pick<PackedToken, 'checkedAt' | 'erasedAt'> & { readonly generation: number }) | undefined {
    const position = this.#search(id);
    if (position === undefined) return undefined;
    const [generation, checkedAt] = [this.#number(position, GENERATION), this.#number(position, CHECKED_AT)];
    return { generation, checkedAt, erasedAt: this.#erasedAt(position) };
  }

  /** Removes the tokens of an account and returns them. */
  take(account: AccountId): PackedToken[] {
    const taken: PackedToken[] = [];
    let position = this.#search(account);
    while (position !== undefined) {
      taken.push(this.#unpack(position));
      this.#remove(position);
      position = this.#search(account, this.#number(position, EARLIER));
    }
    return taken;
  }

  /** All tokens, the oldest first. The block may change between two of them. */
  *tokens(): Generator<PackedToken> {
    let position = this.#start;
    while (position < this.#end) {
      const next = this.#following(position);
      if (this.#isToken(position)) yield this.#unpack(position);
      position = Math.max(next, this.#start);
    }
  }

  /** Makes room for a token. @returns its position; `undefined` if it is larger than the block */
  #reserve(length: number): number | undefined {
    if (length > this.#bytes.length) return undefined;
    const left = this.#leftAt(this.#end);
    if (left < length) this.#fill(left);
    return this.#overwrite(length);
  }

  /** A token is in one piece, so the end of the block may remain unused. */
  #fill(length: number): void {
    const at = this.#offset(this.#overwrite(length));
    if (length <= TEXT) return;
    this.#numbers.setFloat64(at + TEXT_BYTES, length - TEXT);
    this.#numbers.setFloat64(at + MARK, REMOVED);
  }

  #overwrite(length: number): number {
    while (this.#end + length - this.#start > this.#bytes.length) {
      if (this.#isToken(this.#start)) this.#size -= 1;
      this.#start = this.#following(this.#start);
    }
    this.#end += length;
    return this.#end - length;
  }

  #isToken(position: number): boolean {
    return this.#isRoomForToken(position) && this.#number(position, MARK) !== REMOVED;
  }

  /** The position behind a token, or behind the unused end of the block. */
  #following(position: number): number {
    const length = this.#isRoomForToken(position) ? TEXT + this.#number(position, TEXT_BYTES) : this.#leftAt(position);
    return position + length;
  }

  #isRoomForToken(position: number): boolean {
    return this.#leftAt(position) > TEXT;
  }

  #leftAt(position: number): number {
    return this.#bytes.length - this.#offset(position);
  }

  /** The latest token of an account or a terminal, or the latest up to `from`. */
  #search(owner: AccountId | SubjectId, from?: number): number | undefined {
    const mark = numberIn(owner);
    let position = from ?? this.#latest[this.#bucketOf(mark)] ?? 0;
    while (position >= this.#start) {
      if (this.#number(position, MARK) === mark && this.#text(position, owner.length) === owner) return position;
      position = this.#number(position, EARLIER);
    }
    return undefined;
  }

  /** The first bytes of the text of a token. */
  #text(position: number, bytes: number): string {
    const at = this.#offset(position) + TEXT;
    return this.#bytes.toString('utf8', at, at + bytes);
  }

  #unpack(position: number): PackedToken {
    const text = this.#text(position, this.#number(position, TEXT_BYTES));
    const bodyAt = text.indexOf('\n');
    const [app, unionId, uniqueId, region] = JSON.parse(text.slice(ID_LENGTH, bodyAt));
    return {
      id: text.slice(0, ID_LENGTH) as SubjectId,
      record: {
        subject: { app, unionId, uniqueId },
        region,
        token: {
          fields: JSON.parse(text.slice(bodyAt)),
          issuedAt: this.#number(position, ISSUED_AT),
          expiresAt: this.#number(position, EXPIRES_AT),
        },
        generation: this.#number(position, GENERATION),
        read: this.#numbers.getUint8(this.#offset(position) + READ) === 1,
        unreadRenewals: this.#number(position, UNREAD_RENEWALS),
      },
      checkedAt: this.#number(position, CHECKED_AT),
      erasedAt: this.#erasedAt(position),
    };
  }

  #remove(position: number): void {
    this.#numbers.setFloat64(this.#offset(position) + MARK, REMOVED);
    this.#size -= 1;
  }

  #erasedAt(position: number): number | undefined {
    const erasedAt = this.#number(position, ERASED_AT);
    return Number.isNaN(erasedAt) ? undefined : erasedAt;
  }

  #number(position: number, field: number): number {
    return this.#numbers.getFloat64(this.#offset(position) + field);
  }

  #offset(position: number): number {
    return position % this.#bytes.length;
  }

  #bucketOf(mark: number): number {
    return (mark % this.#secret) % this.#latest.length;
  }
}
