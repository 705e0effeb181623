import { randomUUID } from 'node:crypto';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import type { Pace, Place, Urgency } from '../../token/login-queue.ts';
import type { Observer } from '../../token/observer.ts';
import type {
  Announcement,
  DueClaims,
  Lease,
  LeaseAnswer,
  SaveOutcome,
  StoredAccount,
  StoredTerminal,
  TokenStore,
} from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { type SubjectId, subjectId } from '../../token/subject.ts';
import { RedisAccounts } from './accounts.ts';
import { Announcements } from './announcements.ts';
import type { RedisClient } from './connection/clients.ts';
import { RedisLink } from './connection/commands.ts';
import { type ConnectionLog, connectRedis, connectSubscriber } from './connection/connection.ts';
import { Keys } from './keys.ts';
import { DirectoryCodec } from './records/directory-codec.ts';
import { RecordCodec } from './records/record-codec.ts';
import { Resealing } from './records/resealing.ts';
import type { RedisParts } from './records/stored-records.ts';
import { type EncryptionKey, TokenCipher } from './records/token-cipher.ts';
import { RedisRates, RedisSchedule } from './schedule.ts';
import { RedisTerminals } from './terminals.ts';

/** Notices when Redis is back, and whether it came back without its data: then the mark that was left in it is gone. */
class DataLossDetector {
  readonly #parts: Pick<RedisParts, 'redis' | 'keys' | 'log'>;
  readonly #listeners: ((lostData: boolean) => void)[] = [];
  #mark: string | undefined;

  constructor(connection: RedisClient, parts: Pick<RedisParts, 'redis' | 'keys' | 'log'>) {
    this.#parts = parts;
    connection.on('ready', () => void this.#compare());
  }

  onReturn(listener: (lostData: boolean) => void): void {
    this.#listeners.push(listener);
  }

  async #compare(): Promise<void> {
    const { redis, keys, log } = this.#parts;
    try {
      await redis.run(keys.epoch, (client) => client.set(keys.epoch, randomUUID(), 'NX'));
      const mark = (await redis.run(keys.epoch, (client) => client.get(keys.epoch))) ?? undefined;
      const before = this.#mark;
      this.#mark = mark;
      if (before === undefined) return;
      if (before !== mark) log.warn({}, 'Redis has lost its data: what is in memory is written back');
      for (const listener of this.#listeners) listener(before !== mark);
    } catch (error) {
      log.warn({ err: error }, 'Redis is back, but could not be asked whether it has kept its data');
    }
  }
}

export interface RedisTokenStoreOptions {
  readonly url: string;
  readonly keyPrefix: string;
  /** The first encrypts, all decrypt; none: records are stored in the clear. */
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly terminalsPerAccount: number;
  readonly clock: Clock;
  readonly log: ConnectionLog;
  readonly observer: Pick<Observer, 'redisFailed'>;
}

/** The store shared by all replicas. Needs Redis 6.2 or later, or what speaks like it. */
export class RedisTokenStore implements TokenStore {
  readonly #connection: RedisClient;
  readonly #redis: RedisLink;
  readonly #announcements: Announcements;
  readonly #terminals: RedisTerminals;
  readonly #accounts: RedisAccounts;
  readonly #schedule: RedisSchedule;
  readonly #rates: RedisRates;
  readonly #epoch: DataLossDetector;
  readonly #clock: Clock;

  constructor({ url, keyPrefix, encryptionKeys, terminalsPerAccount, clock, log, observer }: RedisTokenStoreOptions) {
    const connection = connectRedis(url, 'commands', log);
    const redis = new RedisLink(connection, clock, observer);
    const keys = new Keys(keyPrefix);
    const cipher = new TokenCipher(encryptionKeys);
    const records = new RecordCodec(cipher);
    const directory = new DirectoryCodec(cipher);
    const resealing = new Resealing(redis, cipher);
    const parts = { redis, keys, records, directory, resealing, clock, log };
    this.#connection = connection;
    this.#redis = redis;
    this.#announcements = new Announcements(connectSubscriber(url, connection, log), connection, keys, clock);
    this.#accounts = new RedisAccounts(parts);
    this.#terminals = new RedisTerminals(parts, this.#accounts, terminalsPerAccount);
    this.#schedule = new RedisSchedule(parts);
    this.#rates = new RedisRates(parts);
    this.#epoch = new DataLossDetector(connection, parts);
    this.#clock = clock;
  }

  read(id: SubjectId): Promise<StoredTerminal> {
    return this.#terminals.read(id);
  }

  acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer> {
    return this.#terminals.acquire(id, durationMs);
  }

  extend(lease: Lease): Promise<boolean> {
    return this.#terminals.extend(lease);
  }

  save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome> {
    return this.#terminals.save(lease, record, this.#msUntil(dueAt));
  }

  async restore(record: TokenRecord, dueAt: number): Promise<'saved' | 'outdated'> {
    const outcome = await this.#terminals.restore(subjectId(record.subject), record, this.#msUntil(dueAt));
    return outcome === 'saved' ? outcome : 'outdated';
  }

  release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void> {
    return this.#terminals.release(lease, dueAt === undefined ? undefined : this.#msUntil(dueAt), failure);
  }

  remove(id: SubjectId): Promise<number> {
    return this.#terminals.remove(id);
  }

  account(unionId: string): Promise<StoredAccount | undefined> {
    return this.#accounts.find(unionId);
  }

  lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.#accounts.lookUp(accessIds);
  }

  erase(unionId: string): Promise<number> {
    return this.#accounts.erase(unionId);
  }

  markRead(id: SubjectId, generation: number): Promise<boolean> {
    return this.#terminals.markRead(id, generation);
  }

  claimDue(...claim: Parameters<TokenStore['claimDue']>): Promise<DueClaims> {
    return this.#schedule.claim(...claim);
  }

  take(name: string, intervalMs: number, burst: number): Promise<number> {
    return this.#rates.take(name, intervalMs, burst);
  }

  reserve(pace: Pace, urgency: Urgency): Promise<Place> {
    return this.#rates.reserve(pace, urgency);
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#announcements.subscribe(listener);
  }

  announcedSince(): number | undefined {
    return this.#announcements.announcedSince();
  }

  onReturn(listener: (lostData: boolean) => void): void {
    this.#epoch.onReturn(listener);
  }

  async ping(): Promise<void> {
    await this.#redis.run(undefined, (client) => client.ping());
  }

  async close(): Promise<void> {
    this.#announcements.close();
    await this.#connection.quit().catch(() => this.#connection.disconnect());
  }

  /** Instants travel to Redis as spans, so that its clock and ours need not agree. */
  #msUntil(instant: number): number {
    return Math.max(1, Math.round(instant - this.#clock.now()));
  }
}
