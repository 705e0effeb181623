import { randomUUID } from 'node:crypto';
import type { Clock } from '../../token/clock.ts';
import type { Observer } from '../../token/observer.ts';
import type { StoreHealth, TokenStore } from '../../token/ports.ts';
import { RedisAccounts } from './accounts.ts';
import { RedisAnnouncements } from './announcements.ts';
import type { RedisClient } from './connection/clients.ts';
import { RedisLink } from './connection/commands.ts';
import { type ConnectionLog, connectRedis, connectSubscriber } from './connection/connection.ts';
import { Keys } from './keys.ts';
import { DirectoryCodec } from './records/directory-codec.ts';
import { RecordCodec } from './records/record-codec.ts';
import { Resealing } from './records/resealing.ts';
import type { RedisParts } from './records/stored-records.ts';
import { type EncryptionKey, TokenCipher } from './records/token-cipher.ts';
import { RedisDueQueue, RedisRates } from './schedule.ts';
import { RedisTerminals } from './terminals.ts';

/** Notices when Redis is back, and whether it lost its data: then the mark that this replica had read is gone. */
class RedisHealth implements StoreHealth {
  readonly #parts: Pick<RedisParts, 'redis' | 'keys' | 'log'>;
  readonly #listeners: ((lostData: boolean) => void)[] = [];
  #mark: string | undefined;

  constructor(connection: RedisClient, parts: Pick<RedisParts, 'redis' | 'keys' | 'log'>) {
    this.#parts = parts;
    connection.on('ready', () => void this.#compare());
  }

  async ping(): Promise<void> {
    await this.#parts.redis.run(undefined, (client) => client.ping());
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

export interface RedisStoreOptions {
  readonly url: string;
  readonly keyPrefix: string;
  /** The first encrypts, all decrypt; none: records are stored in the clear. */
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly terminalsPerAccount: number;
  readonly clock: Clock;
  readonly log: ConnectionLog;
  readonly observer: Pick<Observer, 'redisFailed'>;
}

/** The store that all replicas share. Needs Redis 6.2 or later, or a compatible server. */
export function createRedisStore(options: RedisStoreOptions): TokenStore {
  const { url, keyPrefix, encryptionKeys, terminalsPerAccount, clock, log, observer } = options;
  const connection = connectRedis(url, 'commands', log);
  const redis = new RedisLink(connection, clock, observer);
  const keys = new Keys(keyPrefix);
  const cipher = new TokenCipher(encryptionKeys);
  const records = new RecordCodec(cipher);
  const directory = new DirectoryCodec(cipher);
  const resealing = new Resealing(redis, cipher);
  const parts = { redis, keys, records, directory, resealing, clock, log };
  const announcements = new RedisAnnouncements(connectSubscriber(url, connection, log), connection, keys, clock);
  const accounts = new RedisAccounts(parts);
  const rates = new RedisRates(parts);
  return {
    terminals: new RedisTerminals(parts, accounts, terminalsPerAccount),
    accounts,
    dueQueue: new RedisDueQueue(parts),
    rateLimiter: rates,
    loginQueue: rates,
    announcements,
    health: new RedisHealth(connection, parts),
    async close() {
      announcements.close();
      await connection.quit().catch(() => connection.disconnect());
    },
  };
}
