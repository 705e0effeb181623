import type { Redis } from 'ioredis';
import { systemClock, withTimeout } from '../../token/clock.ts';
import { DIGEST_LENGTH, type SubjectId } from '../../token/subject.ts';
import { mastersOf, type RedisClient } from './connection/clients.ts';
import { connectRedis, type RedisLog, storeUnavailable } from './connection/connection.ts';
import { Keys } from './keys.ts';
import { resealScript, runScript } from './lua-scripts.ts';
import { ACCOUNT_FIELDS, DirectoryCodec, RecordCodec } from './records/record-codec.ts';
import { type SealedField, TokenCipher } from './records/token-cipher.ts';
import type { RedisStoreOptions } from './redis-store.ts';

/** Number of keys per SCAN and of accounts per batch. Both are small, so that the replicas are not slowed down. */
const SCAN_COUNT = 1_000;
const BATCH = 100;
/** How long a walk waits for the connection. */
const CONNECT_WAIT_MS = 10_000;

/** Numbers of sealed tokens and directory entries in a walk so far. */
export interface RekeyTotals {
  lookedAt: number;
  /** Sealed again by this walk. */
  resealed: number;
  /** Sealed under the current key before. */
  current: number;
  /** Written by a replica in between, under its own current key. */
  changed: number;
  /** Opened by no key of the ring: the number by reason. A reason contains no secret. */
  readonly unreadable: Map<string, number>;
}

export interface RekeyOptions extends Pick<RedisStoreOptions, 'url' | 'keyPrefix' | 'encryptionKeys'> {
  readonly log: RedisLog;
}

type Outcome = 'resealed' | 'current' | 'changed' | { readonly unreadable: string };

/** Seals every token and directory entry in Redis under the current key, while replicas use them. */
export class Rekey {
  readonly #redis: RedisClient;
  readonly #keys: Keys;
  readonly #cipher: TokenCipher;
  readonly #records: RecordCodec;
  readonly #directory: DirectoryCodec;

  constructor({ url, keyPrefix, encryptionKeys, log }: RekeyOptions) {
    this.#redis = connectRedis(url, 'rekey', log);
    this.#keys = new Keys(keyPrefix);
    this.#cipher = new TokenCipher(encryptionKeys);
    this.#records = new RecordCodec(this.#cipher);
    this.#directory = new DirectoryCodec(this.#cipher);
  }

  /**
   * Walks through all accounts once. When `signal` aborts, the walk ends after its batch. What was done stays.
   * @param report gets the totals after each batch
   * @throws BrokerError `store_unavailable` when a command fails or the connection is lost
   */
  async walk(signal: AbortSignal, report: (totals: RekeyTotals) => void): Promise<RekeyTotals> {
    const totals: RekeyTotals = { lookedAt: 0, resealed: 0, current: 0, changed: 0, unreadable: new Map() };
    try {
      // A cluster client knows the nodes only when it is ready.
      const ready = new Promise<unknown>((resolve) => {
        this.#redis.once('ready', resolve);
        signal.addEventListener('abort', resolve);
      });
      if (this.#redis.status !== 'ready') await withTimeout(systemClock, CONNECT_WAIT_MS, ready);
      for (const node of mastersOf(this.#redis)) await this.#walkNode(node, signal, totals, report);
    } catch (error) {
      // A command may fail after an abort.
      if (!signal.aborted) throw storeUnavailable(error);
    }
    return totals;
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #walkNode(node: Redis, signal: AbortSignal, totals: RekeyTotals, report: (totals: RekeyTotals) => void) {
    const pattern = this.#keys.accountPattern;
    let isLost = false;
    node.once('close', () => {
      isLost = true;
    });
    let cursor = '0';
    while (!signal.aborted) {
      const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
      // ioredis has sent the command again, perhaps to a Redis that scans its keys in another order: the cursor is
      // wrong.
      if (isLost) throw new Error('the connection was lost');
      for (let at = 0; at < keys.length && !signal.aborted; at += BATCH) {
        const outcomes = await this.#resealAccounts(keys.slice(at, at + BATCH));
        for (const outcome of outcomes) count(totals, outcome);
        report(totals);
      }
      if (next === '0') return;
      cursor = next;
    }
  }

  async #resealAccounts(keys: readonly string[]): Promise<Outcome[]> {
    const fields = await Promise.all(keys.map((key) => this.#fieldsAt(key)));
    return Promise.all(fields.flat().map((field) => this.#reseal(field)));
  }

  /** The sealed fields of an account's hash: its records and its directory entry. */
  async #fieldsAt(key: string): Promise<SealedField[]> {
    const account = this.#keys.accountAt(key);
    if (!account) return [];
    return Object.entries(await this.#redis.hgetallBuffer(key)).flatMap(([field, bytes]) => {
      if (field === ACCOUNT_FIELDS.directory) return this.#directory.sealedField(bytes, key);
      if (field.length !== DIGEST_LENGTH) return [];
      return this.#records.sealedField(bytes, (account + field) as SubjectId, key) ?? [];
    });
  }

  async #reseal(field: SealedField): Promise<Outcome> {
    const plain = this.#cipher.open(field.sealed, field.additionalData);
    if (!plain) return { unreadable: this.#cipher.whyUnreadable(field.sealed) };
    if (this.#cipher.isCurrent(field.sealed)) return 'current';
    const resealed = this.#cipher.seal(plain, field.additionalData);
    return (await runScript(this.#redis, resealScript(field, resealed))) === 1 ? 'resealed' : 'changed';
  }
}

function count(totals: RekeyTotals, outcome: Outcome): void {
  totals.lookedAt += 1;
  if (typeof outcome === 'string') totals[outcome] += 1;
  else totals.unreadable.set(outcome.unreadable, (totals.unreadable.get(outcome.unreadable) ?? 0) + 1);
}
