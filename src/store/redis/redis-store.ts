import { randomUUID } from 'node:crypto';
import { type Clock, raceTimeout, sleep, type Timer } from '../../token/clock.ts';
import type { Contact } from '../../token/contact-history.ts';
import type { Observer } from '../../token/observer.ts';
import type { StoreHealth, TokenStore } from '../../token/ports.ts';
import { RedisAccounts } from './accounts.ts';
import { RedisAnnouncements } from './announcements.ts';
import { databaseOf, type RedisClient } from './connection/clients.ts';
import { RedisCommands } from './connection/commands.ts';
import { connectRedis, connectSubscriber, type RedisLog, useCredentials } from './connection/connection.ts';
import { Keys } from './keys.ts';
import { DirectoryCodec, RecordCodec } from './records/record-codec.ts';
import { Resealing } from './records/resealing.ts';
import { type EncryptionKey, TokenCipher } from './records/token-cipher.ts';
import { RedisDueQueue, RedisRates } from './schedule.ts';
import type { StoreContext } from './store-context.ts';
import { RedisTerminals } from './terminals.ts';

const RETRY_MS = 1_000;
/** At the end, commands that were sent get this long. */
const QUIT_MS = 1_000;
/** How long a ping waits for the first connection. */
const CONNECT_WAIT_MS = 500;

/** Detects that Redis is back, and whether it has lost its data: then the random id that the first replica stored is gone. */
class DataLossDetector implements StoreHealth {
  readonly #context: StoreContext;
  readonly #listeners: ((lostData: boolean) => void)[] = [];
  #epoch: string | undefined;
  #retry: Timer | undefined;
  #isClosed = false;
  /** Resolves when the first attempt to connect has ended. */
  readonly #connected: Promise<unknown>;

  constructor(connection: RedisClient, context: StoreContext) {
    this.#context = context;
    connection.on('ready', () => void this.#compareEpoch());
    const ended = ['ready', 'error', 'close'].map((event) => new Promise<void>((end) => connection.once(event, end)));
    this.#connected = Promise.race([...ended, sleep(context.clock, CONNECT_WAIT_MS)]);
  }

  async ping(): Promise<void> {
    // At the start, the connection is still being opened. That is no failure.
    await this.#connected;
    await this.#context.redis.run(undefined, (client) => client.ping());
  }

  onReturn(listener: (lostData: boolean) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#retry?.cancel();
  }

  async #compareEpoch(): Promise<void> {
    const { redis, keys, clock, log } = this.#context;
    this.#retry?.cancel();
    try {
      await redis.run(keys.epoch, (client) => client.set(keys.epoch, randomUUID(), 'NX'));
      const epoch = (await redis.run(keys.epoch, (client) => client.get(keys.epoch))) ?? undefined;
      const before = this.#epoch;
      this.#epoch = epoch;
      if (before === undefined) return;
      const lostData = before !== epoch;
      if (lostData) log.warn({}, 'Redis has lost its data: the tokens in memory are written back');
      for (const listener of this.#listeners) listener(lostData);
    } catch (error) {
      if (this.#isClosed) return;
      log.warn({ err: error }, 'Redis is back, but the check for data loss failed; it is repeated');
      this.#retry = clock.setTimer(() => void this.#compareEpoch(), RETRY_MS);
    }
  }
}

export interface RedisStoreOptions {
  readonly url: string;
  readonly keyPrefix: string;
  /** The first key encrypts, all keys decrypt. Without keys, records are stored in the clear. */
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly terminalsPerAccount: number;
  /** The apps that this replica logs in as, for `check`. Default: none. */
  readonly appIds?: readonly string[];
  readonly clock: Clock;
  readonly log: RedisLog;
  readonly observer: Pick<Observer, 'redisFailed'>;
}

export interface RedisStore extends TokenStore {
  /** Uses these keys, and for each new connection the user and the password of the URL, from now on. */
  useSecrets(secrets: Pick<RedisStoreOptions, 'url' | 'encryptionKeys'>): void;
  /** When Redis last answered a command of this replica, and when it did not. */
  contact(): Contact;
}

/** The store that all replicas share. Needs Redis 6.2 or later, or a compatible server. */
export function createRedisStore(options: RedisStoreOptions): RedisStore {
  const { url, keyPrefix, encryptionKeys, terminalsPerAccount, appIds, clock, log, observer } = options;
  const connection = connectRedis(url, 'commands', log);
  const redis = new RedisCommands(connection, clock, observer);
  const keys = new Keys(keyPrefix, databaseOf(connection));
  const cipher = new TokenCipher(encryptionKeys);
  const records = new RecordCodec(cipher);
  const directory = new DirectoryCodec(cipher);
  const resealing = new Resealing(redis, cipher);
  const context = { redis, keys, records, directory, resealing, terminalsPerAccount, clock, log };
  const subscriber = connectSubscriber(url, connection, log);
  const announcements = new RedisAnnouncements(subscriber, connection, keys, clock, appIds);
  const accounts = new RedisAccounts(context);
  const rates = new RedisRates(context);
  const health = new DataLossDetector(connection, context);
  return {
    terminals: new RedisTerminals(context, accounts),
    accounts,
    dueQueue: new RedisDueQueue(context),
    rateLimiter: rates,
    loginQueue: rates,
    announcements,
    health,
    contact: () => redis.contact(),
    useSecrets(secrets) {
      cipher.useKeys(secrets.encryptionKeys);
      for (const client of [connection, subscriber]) useCredentials(client, secrets.url);
    },
    async close() {
      health.close();
      announcements.close();
      // A paused Redis answers no command, not even this one.
      await raceTimeout(clock, QUIT_MS, connection.quit()).catch(() => undefined);
      connection.disconnect();
    },
  };
}
