import { ExponentialBackoff, handleType, retry } from 'cockatiel';
import type { Redis } from 'ioredis';
import { BrokerError } from '../../token/errors.ts';
import { mastersOf, type RedisClient } from './connection/clients.ts';
import { type ConnectionLog, connectRedis, orUnavailable } from './connection/connection.ts';
import { Keys } from './keys.ts';
import { runScript } from './lua-scripts.ts';
import { DirectoryCodec } from './records/directory-codec.ts';
import { RecordCodec } from './records/record-codec.ts';
import { resealScript } from './records/resealing.ts';
import { sealedTextsOf } from './records/stored-records.ts';
import { type EncryptionKey, keyIdOf, type SealedText, TokenCipher } from './records/token-cipher.ts';

/** Keys Redis looks at per SCAN, and accounts per batch: few enough that replicas beside it do not notice. */
const SCAN_COUNT = 1_000;
const BATCH = 100;
/** Redis may be away for some ten seconds in all. */
const RETRIES = { maxAttempts: 14, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 1_000 }) };

/** What a walk has come by so far: tokens and directory entries. */
export interface RekeyTotals {
  lookedAt: number;
  /** Sealed anew by this walk. */
  resealed: number;
  /** Sealed under the current key already. */
  current: number;
  /** A replica wrote in between, under the key it seals with. */
  changed: number;
  /** No key of the ring opens them: how many by why, in words that show no secret. */
  readonly unreadable: Map<string, number>;
}

export interface RekeyOptions {
  readonly url: string;
  readonly keyPrefix: string;
  /** The first seals, all open. */
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly log: ConnectionLog;
}

type Outcome = 'resealed' | 'current' | 'changed' | { readonly unreadable: string };

/** Walks everything that is sealed in a store, beside the replicas that use it, and seals it under the current key. */
export class Rekey {
  readonly #redis: RedisClient;
  readonly #keys: Keys;
  readonly #keyIds: readonly string[];
  readonly #cipher: TokenCipher;
  readonly #records: RecordCodec;
  readonly #directory: DirectoryCodec;

  constructor({ url, keyPrefix, encryptionKeys, log }: RekeyOptions) {
    this.#redis = connectRedis(url, 'rekey', log);
    this.#keys = new Keys(keyPrefix);
    this.#keyIds = encryptionKeys.map(({ id }) => id);
    this.#cipher = new TokenCipher(encryptionKeys);
    this.#records = new RecordCodec(this.#cipher);
    this.#directory = new DirectoryCodec(this.#cipher);
  }

  /**
   * One walk. Ends early, between two batches, when `ended` says so: what is done stays done.
   * @param report is told after each batch how far it is (0 to 1, roughly)
   * @throws BrokerError `store_unavailable` once Redis has been away for some ten seconds
   */
  async walk(ended: AbortSignal, report: (share: number, totals: RekeyTotals) => void): Promise<RekeyTotals> {
    const totals: RekeyTotals = { lookedAt: 0, resealed: 0, current: 0, changed: 0, unreadable: new Map() };
    try {
      // A cluster knows its nodes once it has answered.
      await patiently(ended, () => this.#redis.ping());
      const nodes = mastersOf(this.#redis);
      for (const [index, node] of nodes.entries()) {
        await this.#walkNode(node, ended, totals, (share) => report((index + share) / nodes.length, totals));
      }
    } catch (error) {
      // Redis may be away while somebody has had enough of it.
      if (!ended.aborted) throw error;
    }
    return totals;
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #walkNode(node: Redis, ended: AbortSignal, totals: RekeyTotals, report: (share: number) => void) {
    const pattern = this.#keys.accountPattern;
    const size = await patiently(ended, () => node.dbsize());
    let cursor = '0';
    for (let seen = SCAN_COUNT; !ended.aborted; seen += SCAN_COUNT) {
      const page = () => node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
      const [next, keys] = await patiently(ended, page);
      for (let at = 0; at < keys.length && !ended.aborted; at += BATCH) {
        const outcomes = await patiently(ended, () => this.#rekey(keys.slice(at, at + BATCH)));
        for (const outcome of outcomes) count(totals, outcome);
        report(Math.min(1, (seen - SCAN_COUNT * Math.max(0, 1 - (at + BATCH) / keys.length)) / size));
      }
      if (next === '0') return;
      cursor = next;
    }
  }

  async #rekey(keys: readonly string[]): Promise<Outcome[]> {
    const texts = await Promise.all(keys.map((key) => this.#textsAt(key)));
    return Promise.all(texts.flat().map((text) => this.#reseal(text)));
  }

  async #textsAt(key: string): Promise<SealedText[]> {
    const account = this.#keys.accountAt(key);
    if (!account) return [];
    const parts = { keys: this.#keys, records: this.#records, directory: this.#directory };
    return sealedTextsOf(parts, account, await this.#redis.hgetallBuffer(key));
  }

  async #reseal(text: SealedText): Promise<Outcome> {
    const plain = this.#cipher.open(text.sealed, text.additionalData);
    if (!plain) return { unreadable: this.#whyUnreadable(text) };
    if (this.#cipher.isCurrent(text.sealed)) return 'current';
    const resealed = this.#cipher.seal(plain, text.additionalData);
    return (await runScript(this.#redis, ...resealScript(text, resealed))) === 1 ? 'resealed' : 'changed';
  }

  #whyUnreadable({ sealed }: SealedText): string {
    const id = keyIdOf(sealed);
    if (id === undefined) return 'in the clear';
    if (this.#keyIds.includes(id)) return `damaged, or sealed under another key that was called ${id}`;
    // Whoever may write to Redis chooses what stands there.
    return /^[\x21-\x7e]{1,32}$/.test(id) ? `sealed under key ${id}, which is not among them` : 'damaged';
  }
}

function count(totals: RekeyTotals, outcome: Outcome): void {
  totals.lookedAt += 1;
  if (typeof outcome === 'string') totals[outcome] += 1;
  else totals.unreadable.set(outcome.unreadable, (totals.unreadable.get(outcome.unreadable) ?? 0) + 1);
}

/** Again and again while Redis is away. Every step can be repeated. @throws BrokerError `store_unavailable` */
function patiently<T>(ended: AbortSignal, step: () => Promise<T>): Promise<T> {
  return retry(handleType(BrokerError), RETRIES).execute(() => orUnavailable(step()), ended);
}
