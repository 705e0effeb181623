import { LRUCache } from 'lru-cache';
import { asciiJson, type SdkToken, type ServedToken, serveToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId } from '../token/subject.ts';

/** Facts that come with a record. */
export interface RecordFacts {
  /** Monotonic time of asking the store for it, or to save it. `-Infinity`: another replica may have a newer one. */
  readonly checkedAt: number;
  /** Epoch ms of the last erasure of the account or logout of all its terminals. Older sessions are refused. */
  readonly sessionsEndedAt: number | undefined;
}

/** The knowledge of a replica about a token, besides its record. */
export interface TokenFacts extends RecordFacts {
  readonly id: SubjectId;
  /** Before this time (epoch ms) a read asks for no renewal. */
  readonly renewFrom: number;
}

/** A token and what this replica knows of it. It does not change. `read`: whether the store knows of an app's read. */
export interface CachedToken
  extends TokenFacts,
    ServedToken,
    Omit<SdkToken, 'fields'>,
    Omit<TokenRecord, 'token' | 'subject' | 'region'> {
  /** A newer token was announced, or that the store knows more of this one. */
  readonly isReplaced: boolean;
  /** The subject and its country: a JSON array in pure ASCII. */
  readonly names: string;
}

export function cachedToken(record: TokenRecord, facts: TokenFacts): CachedToken {
  const { id, checkedAt, sessionsEndedAt, renewFrom } = facts;
  const { subject, region, token, generation, answeredAt, read, unreadRenewals, suspect } = record;
  const { app, unionId, uniqueId } = subject;
  const { issuedAt, expiresAt } = token;
  const { body, etag } = serveToken(record);
  const names = asciiJson([app, unionId, uniqueId, region]);
  return {
    id,
    checkedAt,
    sessionsEndedAt,
    renewFrom,
    isReplaced: false,
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

/** Bytes of a token besides its texts, and of an account with its tokens, measured with Node.js 20 and 24. */
const TOKEN_BYTES = 410;
const ACCOUNT_BYTES = 200;

/** The tokens in memory, by account (docs/adr/0012-tokens-in-memory.md). The least recently used account goes first. */
export class CachedTokens {
  readonly #accounts: LRUCache<AccountId, CachedToken[]>;
  #size = 0;

  /** @param maxBytes of memory */
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

  /** Their memory, as it counts for the limit. */
  get bytes(): number {
    return this.#accounts.calculatedSize;
  }

  /**
   * Adds a token, in place of the terminal's former one, unless that is newer. The same token keeps its `renewFrom`,
   * and stays read once it was. Its account counts as used. An account that is larger than the memory is not kept.
   * @returns what is known of the terminal's token now
   */
  add(token: CachedToken): CachedToken {
    const former = this.peek(token.id);
    const known = former ? merged(token, former) : token;
    const others = this.#tokensOf(token.id).filter((one) => one !== former);
    // An array that grows would have room for 17 tokens.
    this.#set(accountOf(token.id), others.concat(known));
    return known;
  }

  /** Its account counts as used, so that its tokens stay in memory while the store is down. */
  find(id: SubjectId): CachedToken | undefined {
    return this.#accounts.get(accountOf(id))?.find((token) => token.id === id);
  }

  /** Its account does not count as used. */
  peek(id: SubjectId): CachedToken | undefined {
    return this.#tokensOf(id).find((token) => token.id === id);
  }

  /** Notes whether the store knows of a read of this generation. @returns whether memory has it, and this is new */
  setRead(id: SubjectId, generation: number, read: boolean): boolean {
    return this.#change(id, { read }, (token) => token.generation === generation && token.read !== read);
  }

  /** Reads of this generation of the terminal's token ask for no renewal before `renewFrom` (epoch ms). */
  setRenewFrom(id: SubjectId, generation: number, renewFrom: number): void {
    this.#change(id, { renewFrom }, (token) => token.generation === generation);
  }

  /** The store must be asked before a token that is older than `generation` is served. */
  invalidate(id: SubjectId, generation: number): void {
    this.#change(id, { isReplaced: true }, (token) => token.generation < generation);
  }

  /** Removes the token of a terminal, or the tokens of an account, up to `generation`. */
  remove(owner: SubjectId | AccountId, generation = Number.POSITIVE_INFINITY): void {
    const tokens = this.#tokensOf(owner);
    const kept = tokens.filter((token) => !token.id.startsWith(owner) || token.generation > generation);
    if (kept.length < tokens.length) this.#set(accountOf(owner), kept);
  }

  /**
   * The tokens that the store confirmed up to `checkedUntil` (monotonic) and that end after `now` (epoch ms), with the
   * reads that the store was told of. Between two of them, others may be added, changed or removed.
   */
  *confirmed(checkedUntil: number, now: number): Generator<CachedToken> {
    for (const account of [...this.#accounts.keys()]) {
      for (const token of this.#tokensOf(account)) {
        if (token.checkedAt <= checkedUntil && token.expiresAt > now) yield token;
      }
    }
  }

  #tokensOf(owner: SubjectId | AccountId): CachedToken[] {
    return this.#accounts.peek(accountOf(owner)) ?? [];
  }

  /** @returns whether memory has a token of the terminal that `isMeant` */
  #change(id: SubjectId, changes: Partial<CachedToken>, isMeant: (token: CachedToken) => boolean): boolean {
    const tokens = this.#tokensOf(id);
    const at = tokens.findIndex((token) => token.id === id && isMeant(token));
    const token = tokens[at];
    if (token) tokens[at] = { ...token, ...changes };
    return token !== undefined;
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

/** The texts are ASCII: each character takes one byte. */
function bytesOf({ names, body }: CachedToken): number {
  return TOKEN_BYTES + names.length + body.length;
}

function merged(token: CachedToken, former: CachedToken): CachedToken {
  if (former.generation > token.generation) return former;
  // Two logins without a lease can have the same generation. The store keeps one of their tokens.
  if (former.generation < token.generation || former.body !== token.body) return token;
  return { ...token, read: token.read || former.read, renewFrom: (token.suspect ? token : former).renewFrom };
}
