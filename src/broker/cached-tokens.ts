import { LRUCache } from 'lru-cache';
import { asciiJson, type SdkToken, type ServedToken, type TokenRecord } from '../token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId } from '../token/subject.ts';

/** A token and what this replica knows of it. It does not change: memory may know more by now. */
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

type Times = Pick<SdkToken, 'issuedAt' | 'expiresAt'>;
type Numbers = Pick<TokenRecord, 'generation' | 'answeredAt' | 'read' | 'suspect' | 'unreadRenewals'>;

/**
 * A token in memory: one text and a few numbers. Most tokens in memory are not read again for a long time, and as objects
 * they would keep garbage collection busy.
 */
interface Entry extends Times, Numbers, Pick<CachedToken, 'id' | 'erasedAt'> {
  /** Entity tag, the subject and its country as JSON, a line feed, and the answer. Pure ASCII. */
  readonly text: string;
  read: boolean;
  checkedAt: number;
  renewFrom: number;
}

/** Bytes of an entry beside its text, and of an account with its entries, measured with Node.js 20 and 24. */
const ENTRY_BYTES = 400;
const ACCOUNT_BYTES = 200;

/**
 * The tokens in memory, by account, so that an erasure finds them. The account that was used least recently is dropped
 * first, with all its tokens.
 */
export class CachedTokens {
  readonly #accounts: LRUCache<AccountId, readonly Entry[]>;
  #size = 0;

  /** @param maxBytes of memory, approximately */
  constructor(maxBytes: number) {
    this.#accounts = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (entries) => entries.reduce((sum, { text }) => sum + ENTRY_BYTES + text.length, ACCOUNT_BYTES),
      dispose: (entries) => {
        this.#size -= entries.length;
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
   * Adds a token, in place of the terminal's former one, unless that is newer. A token that is larger than the whole memory
   * is not kept. The same token keeps its `renewFrom`, and stays read once it was. Its account counts as used.
   * @returns what is known of the terminal's token now
   */
  add(token: CachedToken): CachedToken {
    const former = this.#entry(token.id);
    const known = former === undefined ? token : merged(token, cachedToken(former));
    const account = accountOf(token.id);
    const others = this.#entriesOf(account).filter((entry) => entry !== former);
    this.#set(account, [...others, entryOf(known)]);
    return known;
  }

  /** Its account counts as used, so that the token stays in memory while the store is down. */
  find(id: SubjectId): CachedToken | undefined {
    this.#accounts.get(accountOf(id));
    return this.peek(id);
  }

  /** Its account does not count as used. */
  peek(id: SubjectId): CachedToken | undefined {
    const entry = this.#entry(id);
    return entry && cachedToken(entry);
  }

  /**
   * Notes whether the store knows that an app has read this generation of the terminal's token.
   * @returns whether memory has the token, and this is new
   */
  setRead(id: SubjectId, generation: number, read: boolean): boolean {
    const entry = this.#entry(id);
    if (entry?.generation !== generation || entry.read === read) return false;
    entry.read = read;
    return true;
  }

  /** Reads of this generation of the terminal's token ask for no renewal before `renewFrom` (epoch ms). */
  setRenewFrom(id: SubjectId, generation: number, renewFrom: number): void {
    const entry = this.#entry(id);
    if (entry?.generation === generation) entry.renewFrom = renewFrom;
  }

  /** Makes a token unconfirmed if it is older than `generation`. */
  invalidate(id: SubjectId, generation: number): void {
    const entry = this.#entry(id);
    if (entry && entry.generation < generation) entry.checkedAt = Number.NEGATIVE_INFINITY;
  }

  /** Removes the token of a terminal unless it is newer than `generation`. */
  remove(id: SubjectId, generation = Number.POSITIVE_INFINITY): void {
    const account = accountOf(id);
    this.#keep(account, (entry) => entry.id !== id || entry.generation > generation);
  }

  /** Removes the tokens of an account up to `generation`. */
  removeAccount(account: AccountId, generation: number): void {
    this.#keep(account, (entry) => entry.generation > generation);
  }

  /**
   * The tokens that the store confirmed up to `checkedUntil` and that end after `now`, with the reads that the store was told
   * of. Between two of them, others may be added, changed or removed.
   * @param checkedUntil by the monotonic clock
   * @param now epoch ms
   */
  *confirmed(checkedUntil: number, now: number): Generator<CachedToken> {
    for (const account of [...this.#accounts.keys()]) {
      for (const entry of this.#entriesOf(account)) {
        if (entry.checkedAt <= checkedUntil && entry.expiresAt > now) yield cachedToken(entry);
      }
    }
  }

  #entry(id: SubjectId): Entry | undefined {
    return this.#entriesOf(accountOf(id)).find((entry) => entry.id === id);
  }

  #entriesOf(account: AccountId): readonly Entry[] {
    return this.#accounts.peek(account) ?? [];
  }

  #keep(account: AccountId, isKept: (entry: Entry) => boolean): void {
    const entries = this.#entriesOf(account);
    const kept = entries.filter(isKept);
    if (kept.length < entries.length) this.#set(account, kept);
  }

  #set(account: AccountId, entries: readonly Entry[]): void {
    if (entries.length === 0) {
      this.#accounts.delete(account);
      return;
    }
    this.#accounts.set(account, entries);
    if (this.#accounts.peek(account) === entries) this.#size += entries.length;
  }
}

function merged(token: CachedToken, former: CachedToken): CachedToken {
  const [record, formerRecord] = [token.served.record, former.served.record];
  if (formerRecord.generation > record.generation) return former;
  // Two logins without a lease can have the same generation. The store keeps one of their tokens.
  if (formerRecord.generation < record.generation || former.served.body !== token.served.body) return token;
  const read = record.read || formerRecord.read;
  const renewFrom = record.suspect ? token.renewFrom : former.renewFrom;
  return { ...token, served: { ...token.served, record: { ...record, read } }, renewFrom };
}

function entryOf({ id, served, checkedAt, erasedAt, renewFrom }: CachedToken): Entry {
  const { subject, region, generation, answeredAt, read, suspect, unreadRenewals, token } = served.record;
  const names = asciiJson([subject.app, subject.unionId, subject.uniqueId, region]);
  // `join` makes one flat string. A template would keep its parts in memory.
  const text = [served.etag, names, '\n', served.body].join('');
  const { issuedAt, expiresAt } = token;
  const numbers = { generation, answeredAt, read, suspect, unreadRenewals };
  return { id, text, issuedAt, expiresAt, ...numbers, checkedAt, erasedAt, renewFrom };
}

function cachedToken(entry: Entry): CachedToken {
  const { id, text, generation, answeredAt, read, suspect, unreadRenewals, checkedAt, erasedAt, renewFrom } = entry;
  const namesStart = text.indexOf('[');
  const bodyStart = text.indexOf('\n') + 1;
  const [app, unionId, uniqueId, region] = JSON.parse(text.slice(namesStart, bodyStart));
  const [etag, body] = [text.slice(0, namesStart), text.slice(bodyStart)];
  const { issuedAt, expiresAt } = entry;
  const token: SdkToken = {
    // Read from the body at each use, because few reads from memory need them.
    get fields() {
      return JSON.parse(body);
    },
    issuedAt,
    expiresAt,
  };
  const subject = { app, unionId, uniqueId };
  const record = { subject, region, token, generation, answeredAt, read, suspect, unreadRenewals };
  return { id, served: { record, body, length: String(body.length), etag }, checkedAt, erasedAt, renewFrom };
}
