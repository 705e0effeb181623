import { randomInt } from 'node:crypto';
import { asciiJson, ETAG_LENGTH, type SdkToken, type ServedToken } from '../token/sdk-token.ts';
import { type AccountId, DIGEST_LENGTH, numberIn, type SubjectId } from '../token/subject.ts';

/** A token and what this replica knows of it. It does not change: the block may know more by now. */
export interface CachedToken {
  readonly id: SubjectId;
  /** Its record says whether the store knows that an app has read the token. */
  readonly served: ServedToken;
  /** When the store confirmed it, by the monotonic clock. `-Infinity`: not yet, or a newer token was announced. */
  readonly checkedAt: number;
  /** Epoch ms of the account's last erasure. Older sessions are refused. */
  readonly erasedAt: number | undefined;
  /** Before this time (epoch ms) a read asks for no renewal. */
  readonly renewFrom: number;
}

/** The numbers of a token, in this order. Its text follows them. All lengths and positions are in words of 8 bytes. */
const LENGTH = 0;
/** The position of the token that was added before it in the same bucket. */
const EARLIER = 1;
const GENERATION = 2;
const UNREAD_RENEWALS = 3;
const ISSUED_AT = 4;
const EXPIRES_AT = 5;
const CHECKED_AT = 6;
/** NaN: unknown. */
const ERASED_AT = 7;
const RENEW_FROM = 8;
const READ = 9;
const ANSWERED_AT = 10;
const SUSPECT = 11;
/** In bytes. */
const TEXT_BYTES = 12;
/** Id, entity tag, the subject and its country as JSON, a line feed, and the answer. */
const TEXT = 13;

const WORD_BYTES = 8;
const ID_LENGTH = 2 * DIGEST_LENGTH;
const NAMES_AT = ID_LENGTH + ETAG_LENGTH;
const BYTES_PER_BUCKET = 256;
/** `Buffer.toString` of Node.js 20 takes offsets of 31 bits. */
const LARGEST_BLOCK = 2 ** 31;

/** A token whose fields are read from its body at each use, because few reads from memory need them. */
class BodyToken implements SdkToken {
  readonly #body: string;
  readonly issuedAt: number;
  readonly expiresAt: number;

  constructor(body: string, issuedAt: number, expiresAt: number) {
    this.#body = body;
    this.issuedAt = issuedAt;
    this.expiresAt = expiresAt;
  }

  get fields(): Readonly<Record<string, string>> {
    return JSON.parse(this.#body);
  }
}

/**
 * Tokens in one block of memory outside of the heap. Most tokens are read once a day or less. As objects, each would keep
 * garbage collection busy with 25 pieces (docs/adr/0012-packed-tokens.md).
 *
 * The block is a ring: a new token overwrites the oldest ones. A position counts all words that were written before it, so
 * a token is overwritten if its position is before {@link #start}. A token is in one piece, so the end of the block may
 * remain unused. The length of an unused part or of a removed token is negative.
 *
 * Accounts are spread over buckets. A bucket knows its latest token, and each token the one before it in its bucket.
 */
export class PackedTokens {
  readonly #words: Float64Array;
  /** The same memory. */
  readonly #bytes: Buffer;
  /** The position of the latest token of each bucket. */
  readonly #latest: Float64Array;
  /** Keeps the buckets unknown, so that accounts with chosen names cannot share one and slow each other down. */
  readonly #secret = randomInt(2 ** 31, 2 ** 32);
  #start: number;
  #end: number;
  #size = 0;

  /** @param maxBytes with the index of the buckets; more than 2 GiB count as 2 GiB. The system provides them with use */
  constructor(maxBytes: number) {
    const bytes = Math.min(maxBytes, LARGEST_BLOCK);
    this.#latest = new Float64Array(Math.ceil(bytes / BYTES_PER_BUCKET));
    this.#words = new Float64Array(Math.floor((bytes - this.#latest.byteLength) / WORD_BYTES));
    this.#bytes = Buffer.from(this.#words.buffer);
    // No token is at position 0, which stands for none.
    this.#start = this.#words.length;
    this.#end = this.#start;
  }

  /** Number of tokens. */
  get size(): number {
    return this.#size;
  }

  /** The bytes that have been written, also of removed tokens, without the index of the buckets. */
  get bytes(): number {
    return (this.#end - this.#start) * WORD_BYTES;
  }

  /**
   * Adds a token, in place of the terminal's former one, unless that is newer. A token that is larger than the block is
   * not kept. The same token keeps its `renewFrom`, and stays read once it was.
   *
   * It takes the same words if its text needs as many. So reading or renewing one token again and again overwrites no
   * others, as long as its length stays.
   * @param isUsed whether an app has read it now. It then counts as new if half of the block has been written since
   * @returns what is known of the terminal's token now
   */
  add(token: CachedToken, isUsed: boolean): CachedToken {
    const former = this.#search(token.id);
    const known = former === undefined ? token : this.#merged(token, this.#unpack(former));
    const { id, served, checkedAt, erasedAt = Number.NaN, renewFrom } = known;
    const { subject, region, generation, answeredAt, read, suspect, unreadRenewals, token: times } = served.record;
    const names = asciiJson([subject.app, subject.unionId, subject.uniqueId, region]);
    const text = `${id}${served.etag}${names}\n${served.body}`;
    const position = this.#place(id, TEXT + Math.ceil(text.length / WORD_BYTES), former, isUsed);
    if (position === undefined) return known;
    const at = position % this.#words.length;
    this.#words.set([generation, unreadRenewals, times.issuedAt, times.expiresAt], at + GENERATION);
    this.#words.set([checkedAt, erasedAt, renewFrom, Number(read)], at + CHECKED_AT);
    this.#words.set([answeredAt, Number(suspect), text.length], at + ANSWERED_AT);
    this.#bytes.write(text, (at + TEXT) * WORD_BYTES, 'latin1');
    return known;
  }

  #merged(token: CachedToken, former: CachedToken): CachedToken {
    const [record, known] = [token.served.record, former.served.record];
    if (known.generation > record.generation) return former;
    // Two logins without a lease can have the same generation. The store keeps one of their tokens.
    if (known.generation < record.generation || former.served.body !== token.served.body) return token;
    const read = record.read || known.read;
    const renewFrom = record.suspect ? token.renewFrom : former.renewFrom;
    return { ...token, served: { ...token.served, record: { ...record, read } }, renewFrom };
  }

  find(id: SubjectId): CachedToken | undefined {
    const position = this.#search(id);
    return position === undefined ? undefined : this.#unpack(position);
  }

  /**
   * Notes whether the store knows that an app has read this generation of the terminal's token.
   * @returns whether this is new to the block
   */
  setRead(id: SubjectId, generation: number, read: boolean): boolean {
    return this.#change(id, generation, READ, Number(read));
  }

  /** Sets the `renewFrom` of this generation of the terminal's token. */
  setRenewFrom(id: SubjectId, generation: number, renewFrom: number): void {
    this.#change(id, generation, RENEW_FROM, renewFrom);
  }

  /** @returns whether it was found, and had another value */
  #change(id: SubjectId, generation: number, field: number, value: number): boolean {
    const position = this.#search(id);
    if (position === undefined || this.#get(position, GENERATION) !== generation) return false;
    const isNew = this.#get(position, field) !== value;
    this.#set(position, field, value);
    return isNew;
  }

  /** Makes a token unconfirmed if it is older than `generation`. */
  invalidate(id: SubjectId, generation: number): void {
    const position = this.#search(id);
    if (position === undefined || this.#get(position, GENERATION) >= generation) return;
    this.#set(position, CHECKED_AT, Number.NEGATIVE_INFINITY);
  }

  /** Removes the tokens of an account or of a terminal up to `generation`. */
  remove(owner: AccountId | SubjectId, generation: number): void {
    for (let position = this.#search(owner); position !== undefined; ) {
      if (this.#get(position, GENERATION) <= generation) this.#remove(position);
      position = this.#search(owner, this.#get(position, EARLIER));
    }
  }

  /**
   * The tokens that the store confirmed up to `checkedUntil` and that end after `now`. Between two of them, others may be
   * added, moved or removed.
   */
  *tokens(checkedUntil: number, now: number): Generator<CachedToken> {
    for (let position = this.#start; position < this.#end; ) {
      const length = this.#get(position, LENGTH);
      const isListed = this.#get(position, CHECKED_AT) <= checkedUntil && this.#get(position, EXPIRES_AT) > now;
      if (length > 0 && isListed) yield this.#unpack(position);
      position = Math.max(position + Math.abs(length), this.#start);
    }
  }

  /** Returns the position for a token: the former one, if it is as long. `undefined` if it is larger than the block. */
  #place(id: SubjectId, length: number, former: number | undefined, isUsed: boolean): number | undefined {
    if (former !== undefined) {
      if (this.#get(former, LENGTH) === length && !(isUsed && this.#isOld(former))) return former;
      this.#remove(former);
    }
    if (length > this.#words.length) return undefined;
    const left = this.#words.length - (this.#end % this.#words.length);
    if (left < length) this.#set(this.#overwrite(left), LENGTH, -left);
    const position = this.#overwrite(length);
    const bucket = this.#bucketOf(id);
    this.#words.set([length, this.#latest[bucket] ?? 0], position % this.#words.length);
    this.#latest[bucket] = position;
    this.#size += 1;
    return position;
  }

  /** @returns the position of the words */
  #overwrite(length: number): number {
    while (this.#end + length - this.#start > this.#words.length) {
      const oldest = this.#get(this.#start, LENGTH);
      if (oldest > 0) this.#size -= 1;
      this.#start += Math.abs(oldest);
    }
    this.#end += length;
    return this.#end - length;
  }

  #remove(position: number): void {
    this.#set(position, LENGTH, -this.#get(position, LENGTH));
    this.#size -= 1;
  }

  /** Whether half of the block has been written since. */
  #isOld(position: number): boolean {
    return this.#end - position > this.#words.length / 2;
  }

  /** The latest token of an account or a terminal, or the latest up to `from`. */
  #search(owner: AccountId | SubjectId, from?: number): number | undefined {
    let position = from ?? this.#latest[this.#bucketOf(owner)] ?? 0;
    while (position >= this.#start) {
      if (this.#get(position, LENGTH) > 0 && this.#text(position, owner.length) === owner) return position;
      position = this.#get(position, EARLIER);
    }
    return undefined;
  }

  #unpack(position: number): CachedToken {
    const text = this.#text(position, this.#get(position, TEXT_BYTES));
    const bodyAt = text.indexOf('\n') + 1;
    const [app, unionId, uniqueId, region] = JSON.parse(text.slice(NAMES_AT, bodyAt));
    const body = text.slice(bodyAt);
    const record = {
      subject: { app, unionId, uniqueId },
      region,
      token: new BodyToken(body, this.#get(position, ISSUED_AT), this.#get(position, EXPIRES_AT)),
      generation: this.#get(position, GENERATION),
      answeredAt: this.#get(position, ANSWERED_AT),
      suspect: this.#get(position, SUSPECT) === 1,
      read: this.#get(position, READ) === 1,
      unreadRenewals: this.#get(position, UNREAD_RENEWALS),
    };
    const erasedAt = this.#get(position, ERASED_AT);
    return {
      id: text.slice(0, ID_LENGTH) as SubjectId,
      served: { record, body, length: String(body.length), etag: text.slice(ID_LENGTH, NAMES_AT) },
      checkedAt: this.#get(position, CHECKED_AT),
      erasedAt: Number.isNaN(erasedAt) ? undefined : erasedAt,
      renewFrom: this.#get(position, RENEW_FROM),
    };
  }

  #text(position: number, bytes: number): string {
    const at = ((position % this.#words.length) + TEXT) * WORD_BYTES;
    return this.#bytes.toString('latin1', at, at + bytes);
  }

  #get(position: number, field: number): number {
    return this.#words[(position % this.#words.length) + field] ?? 0;
  }

  #set(position: number, field: number, value: number): void {
    this.#words[(position % this.#words.length) + field] = value;
  }

  #bucketOf(owner: AccountId | SubjectId): number {
    return (numberIn(owner) % this.#secret) % this.#latest.length;
  }
}
