import { randomInt } from 'node:crypto';
import {
  asciiJson,
  ETAG_LENGTH,
  type SdkToken,
  type ServedToken,
  serveToken,
  type TokenRecord,
} from '../token/sdk-token.ts';
import { type AccountId, DIGEST_LENGTH, type SubjectId } from '../token/subject.ts';

/** Facts that come with a record. */
export interface RecordFacts {
  /**
   * When the store was asked for it, or to save it, by the monotonic clock. `-Infinity`: the store has not confirmed
   * it, or a newer token was announced. Another replica may have stored a newer one.
   */
  readonly checkedAt: number;
  /** Epoch ms of the account's last erasure. Older sessions are refused. */
  readonly erasedAt: number | undefined;
}

/** The knowledge of a replica about a token, besides its record. */
export interface TokenFacts extends RecordFacts {
  readonly id: SubjectId;
  /** Before this time (epoch ms) a read asks for no renewal. */
  readonly renewFrom: number;
}

/**
 * A token and what this replica knows of it. It does not change: memory may know more by now. `read` says whether the
 * store knows that an app has read the token.
 */
export interface CachedToken
  extends TokenFacts,
    ServedToken,
    Omit<SdkToken, 'fields'>,
    Omit<TokenRecord, 'token' | 'subject' | 'region'> {
  /** The subject and its country: a JSON array in pure ASCII. */
  readonly names: string;
}

export function cachedToken(record: TokenRecord, facts: TokenFacts): CachedToken {
  const { id, checkedAt, erasedAt, renewFrom } = facts;
  const { subject, region, token, generation, answeredAt, read, unreadRenewals, suspect } = record;
  const { app, unionId, uniqueId } = subject;
  const { issuedAt, expiresAt } = token;
  const { body, etag } = serveToken(record);
  const names = asciiJson([app, unionId, uniqueId, region]);
  return {
    id,
    checkedAt,
    erasedAt,
    renewFrom,
    issuedAt,
    expiresAt,
    generation,
    answeredAt,
    read,
    unreadRenewals,
    suspect,
    etag,
    names,
    body,
  };
}

/** The record of a token in memory. Its texts are parsed here, because few reads from memory need them. */
export function recordOf(known: CachedToken): TokenRecord {
  const { names, body, issuedAt, expiresAt, generation, answeredAt, read, unreadRenewals, suspect } = known;
  const [app, unionId, uniqueId, region] = JSON.parse(names);
  const subject = { app, unionId, uniqueId };
  const token = { fields: JSON.parse(body), issuedAt, expiresAt };
  return { subject, region, token, generation, answeredAt, read, unreadRenewals, suspect };
}

/** The words of a token, of 8 bytes each. Its text follows them: id, entity tag, names and body. */
const WORD = {
  /** Of all its words. Negative: a token that was removed, or the unused end of the block. */
  length: 0,
  /** The position of the token that was added before it in the same bucket. */
  earlier: 1,
  textLength: 2,
  namesLength: 3,
  generation: 4,
  checkedAt: 5,
  /** NaN: unknown. */
  erasedAt: 6,
  renewFrom: 7,
  issuedAt: 8,
  expiresAt: 9,
  answeredAt: 10,
  read: 11,
  unreadRenewals: 12,
  suspect: 13,
} as const;
const TEXT_AT = 14;
const WORD_BYTES = 8;

const ID_LENGTH = 2 * DIGEST_LENGTH;
const NAMES_AT = ID_LENGTH + ETAG_LENGTH;

const BYTES_PER_BUCKET = 256;
/** Characters of an account's id that choose its bucket. As ASCII, they fit into a number. */
const BUCKET_CHARACTERS = 7;

/** Where a token is in the block, and its text. */
interface Place {
  readonly position: number;
  /** The position of the token before it in its bucket. */
  readonly earlier: number;
  readonly text: string;
}

/**
 * The tokens in memory, in one block outside of the heap (docs/adr/0012-tokens-in-memory.md). With objects in an LRU
 * cache, a first read takes 5 % more CPU (benchmark scenario `first`), because V8 copies and marks them.
 *
 * The block is a ring: a new token overwrites the oldest ones. A position is the number of words that were written
 * before it, and only grows. Its place in the block is the remainder of `position / length`. What is before `#start` is
 * overwritten. A token is never split, so the end of the block may stay unused.
 *
 * Accounts are spread over buckets. A bucket knows its latest token, and each token the one before it in its bucket, as
 * far as that is not overwritten.
 */
export class CachedTokens {
  readonly #words: Float64Array;
  /** The same memory. */
  readonly #bytes: Buffer;
  /** The position of the latest token of each bucket. */
  readonly #latest: Float64Array;
  /** Keeps the buckets unknown, so that accounts with chosen names do not share one and slow each other down. */
  readonly #secret = randomInt(2 ** 31, 2 ** 32);
  #start: number;
  #end: number;
  #size = 0;

  /**
   * @param maxBytes of memory, at most 2 GiB, because buffers of Node.js 20 take offsets of 31 bits. The system gives
   *   them to the process when they are used
   */
  constructor(maxBytes: number) {
    this.#latest = new Float64Array(Math.ceil(maxBytes / BYTES_PER_BUCKET));
    this.#words = new Float64Array(Math.floor((maxBytes - this.#latest.byteLength) / WORD_BYTES));
    this.#bytes = Buffer.from(this.#words.buffer);
    // No token is at position 0, which stands for none.
    this.#start = this.#words.length;
    this.#end = this.#start;
  }

  /** Number of tokens. */
  get size(): number {
    return this.#size;
  }

  /** The bytes that were written, also of removed tokens, without the buckets. */
  get bytes(): number {
    return (this.#end - this.#start) * WORD_BYTES;
  }

  /**
   * Adds a token, in place of the terminal's former one, unless that is newer. A token that is larger than the block is
   * not kept. The same token keeps its `renewFrom`, and stays read once it was. If it needs as many words as the
   * former one, it takes its place: no other token is overwritten, and it does not count as new.
   * @returns what is known of the terminal's token now
   */
  add(token: CachedToken): CachedToken {
    const former = this.#search(token.id);
    const known = former ? merged(token, this.#unpack(former)) : token;
    if (former && this.#get(former.position, WORD.length) === wordsOf(known)) this.#write(former.position, known);
    else {
      if (former) this.#remove(former);
      this.#append(known);
    }
    return known;
  }

  /**
   * A token that is read after half of the block was written counts as new. So tokens in use stay while the store is
   * down, and most reads write nothing.
   */
  find(id: SubjectId): CachedToken | undefined {
    const found = this.#search(id);
    if (!found) return undefined;
    const token = this.#unpack(found);
    if (this.#end - found.position > this.#words.length / 2) {
      this.#remove(found);
      this.#append(token);
    }
    return token;
  }

  /** The token does not count as new. */
  peek(id: SubjectId): CachedToken | undefined {
    const found = this.#search(id);
    return found && this.#unpack(found);
  }

  /**
   * Notes whether the store knows that an app has read this generation of the terminal's token.
   * @returns whether memory has the token, and this is new
   */
  setRead(id: SubjectId, generation: number, read: boolean): boolean {
    return this.#change(id, generation, WORD.read, Number(read));
  }

  /** Reads of this generation of the terminal's token ask for no renewal before `renewFrom` (epoch ms). */
  setRenewFrom(id: SubjectId, generation: number, renewFrom: number): void {
    this.#change(id, generation, WORD.renewFrom, renewFrom);
  }

  /** Makes a token unconfirmed if it is older than `generation`. */
  invalidate(id: SubjectId, generation: number): void {
    const found = this.#search(id);
    if (!found || this.#get(found.position, WORD.generation) >= generation) return;
    this.#set(found.position, WORD.checkedAt, Number.NEGATIVE_INFINITY);
  }

  /** Removes the token of a terminal, or the tokens of an account, up to `generation`. */
  remove(owner: SubjectId | AccountId, generation = Number.POSITIVE_INFINITY): void {
    for (let found = this.#search(owner); found; found = this.#search(owner, found.earlier)) {
      if (this.#get(found.position, WORD.generation) <= generation) this.#remove(found);
    }
  }

  /**
   * The tokens that the store confirmed up to `checkedUntil` and that end after `now`, with the reads that the store
   * was told of. Between two of them, others may be added, changed or removed. A token may come twice, if it is read
   * between.
   * @param checkedUntil by the monotonic clock
   * @param now epoch ms
   * @param from only tokens of logins from then on, and before `to` (epoch ms)
   */
  *confirmed(checkedUntil: number, now: number, from = -Infinity, to = Infinity): Generator<CachedToken> {
    for (let position = this.#start; position < this.#end; ) {
      const length = this.#get(position, WORD.length);
      const isConfirmed = this.#get(position, WORD.checkedAt) <= checkedUntil;
      const issuedAt = this.#get(position, WORD.issuedAt);
      const isValid = length > 0 && this.#get(position, WORD.expiresAt) > now;
      if (isValid && isConfirmed && from <= issuedAt && issuedAt < to) yield this.#unpack(this.#at(position));
      position = Math.max(position + Math.abs(length), this.#start);
    }
  }

  /** @returns whether memory has this generation of the token, with another value */
  #change(id: SubjectId, generation: number, word: number, value: number): boolean {
    const found = this.#search(id);
    if (!found || this.#get(found.position, WORD.generation) !== generation) return false;
    const isNew = this.#get(found.position, word) !== value;
    this.#set(found.position, word, value);
    return isNew;
  }

  #append(token: CachedToken): void {
    const length = wordsOf(token);
    if (length > this.#words.length) return;
    const left = this.#words.length - (this.#end % this.#words.length);
    if (left < length) this.#set(this.#overwrite(left), WORD.length, -left);
    const position = this.#overwrite(length);
    const bucket = this.#bucketOf(token.id);
    this.#set(position, WORD.length, length);
    this.#set(position, WORD.earlier, this.#latest[bucket] ?? 0);
    this.#write(position, token);
    this.#latest[bucket] = position;
    this.#size += 1;
  }

  /** @returns the position of the words */
  #overwrite(length: number): number {
    while (this.#end + length - this.#start > this.#words.length) {
      const oldest = this.#get(this.#start, WORD.length);
      if (oldest > 0) this.#size -= 1;
      this.#start += Math.abs(oldest);
    }
    this.#end += length;
    return this.#end - length;
  }

  #remove({ position, earlier, text }: Place): void {
    const bucket = this.#bucketOf(text);
    let later = this.#latest[bucket] ?? 0;
    if (later === position) this.#latest[bucket] = earlier;
    else {
      while (this.#get(later, WORD.earlier) !== position) later = this.#get(later, WORD.earlier);
      this.#set(later, WORD.earlier, earlier);
    }
    // The ring may take months to come round.
    const [at, length] = [position % this.#words.length, this.#get(position, WORD.length)];
    this.#words.fill(0, at + TEXT_AT, at + length);
    this.#set(position, WORD.length, -length);
    this.#size -= 1;
  }

  #write(position: number, token: CachedToken): void {
    const text = textOf(token);
    this.#set(position, WORD.textLength, text.length);
    this.#set(position, WORD.namesLength, token.names.length);
    this.#set(position, WORD.generation, token.generation);
    this.#set(position, WORD.checkedAt, token.checkedAt);
    this.#set(position, WORD.erasedAt, token.erasedAt ?? Number.NaN);
    this.#set(position, WORD.renewFrom, token.renewFrom);
    this.#set(position, WORD.issuedAt, token.issuedAt);
    this.#set(position, WORD.expiresAt, token.expiresAt);
    this.#set(position, WORD.answeredAt, token.answeredAt);
    this.#set(position, WORD.read, Number(token.read));
    this.#set(position, WORD.unreadRenewals, token.unreadRenewals);
    this.#set(position, WORD.suspect, Number(token.suspect));
    this.#bytes.write(text, this.#byteAt(position), 'latin1');
  }

  #unpack({ position, text }: Place): CachedToken {
    const bodyAt = NAMES_AT + this.#get(position, WORD.namesLength);
    const erasedAt = this.#get(position, WORD.erasedAt);
    return {
      id: text.slice(0, ID_LENGTH) as SubjectId,
      checkedAt: this.#get(position, WORD.checkedAt),
      erasedAt: Number.isNaN(erasedAt) ? undefined : erasedAt,
      renewFrom: this.#get(position, WORD.renewFrom),
      issuedAt: this.#get(position, WORD.issuedAt),
      expiresAt: this.#get(position, WORD.expiresAt),
      generation: this.#get(position, WORD.generation),
      answeredAt: this.#get(position, WORD.answeredAt),
      read: this.#get(position, WORD.read) === 1,
      unreadRenewals: this.#get(position, WORD.unreadRenewals),
      suspect: this.#get(position, WORD.suspect) === 1,
      etag: text.slice(ID_LENGTH, NAMES_AT),
      names: text.slice(NAMES_AT, bodyAt),
      body: text.slice(bodyAt),
    };
  }

  /** The latest token of an account or a terminal, or the latest up to `from`. */
  #search(owner: SubjectId | AccountId, from = this.#latest[this.#bucketOf(owner)] ?? 0): Place | undefined {
    for (let position = from; position >= this.#start; position = this.#get(position, WORD.earlier)) {
      const place = this.#at(position);
      if (place.text.startsWith(owner)) return place;
    }
    return undefined;
  }

  #at(position: number): Place {
    const at = this.#byteAt(position);
    const text = this.#bytes.toString('latin1', at, at + this.#get(position, WORD.textLength));
    return { position, earlier: this.#get(position, WORD.earlier), text };
  }

  #byteAt(position: number): number {
    return ((position % this.#words.length) + TEXT_AT) * WORD_BYTES;
  }

  #get(position: number, word: number): number {
    return this.#words[(position % this.#words.length) + word] ?? 0;
  }

  #set(position: number, word: number, value: number): void {
    this.#words[(position % this.#words.length) + word] = value;
  }

  /** @param text begins with the id of the account */
  #bucketOf(text: string): number {
    let number = 0;
    for (let at = 0; at < BUCKET_CHARACTERS; at += 1) number = number * 128 + text.charCodeAt(at);
    return (number % this.#secret) % this.#latest.length;
  }
}

/** Each character takes one byte. */
function textOf({ id, etag, names, body }: CachedToken): string {
  return `${id}${etag}${names}${body}`;
}

function wordsOf({ names, body }: CachedToken): number {
  return TEXT_AT + Math.ceil((NAMES_AT + names.length + body.length) / WORD_BYTES);
}

function merged(token: CachedToken, former: CachedToken): CachedToken {
  if (former.generation > token.generation) return former;
  // Two logins without a lease can have the same generation. The store keeps one of their tokens.
  if (former.generation < token.generation || former.body !== token.body) return token;
  return { ...token, read: token.read || former.read, renewFrom: (token.suspect ? token : former).renewFrom };
}
