import { LRUCache } from 'lru-cache';
import { type SdkToken, type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type Subject, type SubjectId } from '../token/subject.ts';

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
 * A token and what this replica knows of it, in one object, because each object more costs memory. It does not change:
 * memory may know more by now. `read` says whether the store knows that an app has read the token.
 */
export interface CachedToken
  extends TokenFacts,
    ServedToken,
    Omit<SdkToken, 'fields'>,
    Omit<TokenRecord, 'token' | 'subject'>,
    Subject {}

export function cachedToken(record: TokenRecord, facts: TokenFacts): CachedToken {
  const { id, checkedAt, erasedAt, renewFrom } = facts;
  const { subject, region, token, generation, answeredAt, read, unreadRenewals, suspect } = record;
  const { app, unionId, uniqueId } = subject;
  const { issuedAt, expiresAt } = token;
  const { body, etag } = serveToken(record);
  // Made by spreads, it takes 540 bytes more with Node.js 20.
  return {
    id,
    checkedAt,
    erasedAt,
    renewFrom,
    app,
    unionId,
    uniqueId,
    region,
    issuedAt,
    expiresAt,
    generation,
    answeredAt,
    read,
    unreadRenewals,
    suspect,
    body,
    etag,
  };
}

/** The record of a token in memory. Its fields are read from the answer: few reads from memory need them. */
export function recordOf(known: CachedToken): TokenRecord {
  const { app, unionId, uniqueId, region, generation, answeredAt, read, unreadRenewals, suspect } = known;
  const { body, issuedAt, expiresAt } = known;
  const subject = { app, unionId, uniqueId };
  const token = { fields: JSON.parse(body), issuedAt, expiresAt };
  return { subject, region, token, generation, answeredAt, read, unreadRenewals, suspect };
}

/** Bytes of a token beside its texts, and of an account with its tokens, measured with Node.js 20 and 24. */
const TOKEN_BYTES = 400;
const ACCOUNT_BYTES = 200;

/**
 * The tokens in memory, by account, so that an erasure finds them. The account that was used least recently is dropped
 * first, with all its tokens.
 */
export class CachedTokens {
  readonly #accounts: LRUCache<AccountId, CachedToken[]>;
  #size = 0;

  /** @param maxBytes of memory, approximately */
  constructor(maxBytes: number) {
    this.#accounts = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (tokens) => tokens.reduce((sum, token) => sum + bytesOf(token), ACCOUNT_BYTES),
      dispose: (tokens) => {
        this.#size -= tokens.length;
      },
    });
  }

  /** Number of tokens. */
  get size(): number {
    return this.#size;
  }

  /** Approximate memory. */
  get bytes(): number {
    return this.#accounts.calculatedSize;
  }

  /**
   * Adds a token, in place of the terminal's former one, unless that is newer. A token that is larger than the whole
   * memory is not kept. The same token keeps its `renewFrom`, and stays read once it was. Its account counts as used.
   * @returns what is known of the terminal's token now
   */
  add(token: CachedToken): CachedToken {
    const account = accountOf(token.id);
    const tokens = this.#accounts.peek(account) ?? [];
    const former = tokens.find(({ id }) => id === token.id);
    const known = former === undefined ? token : merged(token, former);
    // An array that grows has room for 17 tokens.
    this.#set(account, tokens.filter((one) => one !== former).concat(known));
    return known;
  }

  /** Its account counts as used, so that the token stays in memory while the store is down. */
  find(id: SubjectId): CachedToken | undefined {
    return this.#accounts.get(accountOf(id))?.find((token) => token.id === id);
  }

  /** Its account does not count as used. */
  peek(id: SubjectId): CachedToken | undefined {
    return this.#accounts.peek(accountOf(id))?.find((token) => token.id === id);
  }

  /**
   * Notes whether the store knows that an app has read this generation of the terminal's token.
   * @returns whether memory has the token, and this is new
   */
  setRead(id: SubjectId, generation: number, read: boolean): boolean {
    const token = this.peek(id);
    if (token?.generation !== generation || token.read === read) return false;
    this.#change(token, { read });
    return true;
  }

  /** Reads of this generation of the terminal's token ask for no renewal before `renewFrom` (epoch ms). */
  setRenewFrom(id: SubjectId, generation: number, renewFrom: number): void {
    const token = this.peek(id);
    if (token?.generation === generation) this.#change(token, { renewFrom });
  }

  /** Makes a token unconfirmed if it is older than `generation`. */
  invalidate(id: SubjectId, generation: number): void {
    const token = this.peek(id);
    if (token && token.generation < generation) this.#change(token, { checkedAt: Number.NEGATIVE_INFINITY });
  }

  /** Removes the token of a terminal unless it is newer than `generation`. */
  remove(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    this.#keep(accountOf(id), (token) => token.id !== id || token.generation > generation);
  }

  /** Removes the tokens of an account up to `generation`. */
  removeAccount(account: AccountId, generation: number): void {
    this.#keep(account, (token) => token.generation > generation);
  }

  /**
   * The tokens that the store confirmed up to `checkedUntil` and that end after `now`, with the reads that the store
   * was told of. Between two of them, others may be added, changed or removed.
   * @param checkedUntil by the monotonic clock
   * @param now epoch ms
   */
  *confirmed(checkedUntil: number, now: number): Generator<CachedToken> {
    for (const account of [...this.#accounts.keys()]) {
      for (const token of this.#accounts.peek(account) ?? []) {
        if (token.checkedAt <= checkedUntil && token.expiresAt > now) yield token;
      }
    }
  }

  #change(token: CachedToken, changes: Partial<CachedToken>): void {
    const tokens = this.#accounts.peek(accountOf(token.id)) ?? [];
    tokens[tokens.indexOf(token)] = { ...token, ...changes };
  }

  #keep(account: AccountId, isKept: (token: CachedToken) => boolean): void {
    const tokens = this.#accounts.peek(account) ?? [];
    const kept = tokens.filter(isKept);
    if (kept.length < tokens.length) this.#set(account, kept);
  }

  #set(account: AccountId, tokens: CachedToken[]): void {
    if (tokens.length === 0) {
      this.#accounts.delete(account);
      return;
    }
    this.#accounts.set(account, tokens);
    if (this.#accounts.peek(account) === tokens) this.#size += tokens.length;
  }
}

/** Approximate memory of a token. Each character of a unionId may take two bytes. */
function bytesOf({ body, unionId, uniqueId }: CachedToken): number {
  return TOKEN_BYTES + body.length + 2 * unionId.length + uniqueId.length;
}

function merged(token: CachedToken, former: CachedToken): CachedToken {
  if (former.generation > token.generation) return former;
  // Two logins without a lease can have the same generation. The store keeps one of their tokens.
  if (former.generation < token.generation || former.body !== token.body) return token;
  return { ...token, read: token.read || former.read, renewFrom: (token.suspect ? token : former).renewFrom };
}
