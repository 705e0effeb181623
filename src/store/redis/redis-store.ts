import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type Clock, withTimeout } from '../../token/clock.ts';
import type { Log } from '../../token/log.ts';
import type { Observer } from '../../token/observer.ts';
import type { DataLoss, ReplicaSummaries, TokenStore } from '../../token/ports.ts';
import { redisAccounts } from './accounts.ts';
import { RedisAnnouncements } from './announcements.ts';
import { databaseOf, type RedisClient } from './connection/clients.ts';
import { RedisCommands } from './connection/commands.ts';
import { connectRedis, connectSubscriber, expectEnd, type RedisLog, useCredentials } from './connection/connection.ts';
import { Keys } from './keys.ts';
import { KnownChanges } from './known-changes.ts';
import { DirectoryCodec, RecordCodec } from './records/record-codec.ts';
import { type EncryptionKey, TokenCipher } from './records/token-cipher.ts';
import { redisDueQueue, redisRates } from './schedule.ts';
import type { StoreContext } from './store-context.ts';
import { redisTerminals } from './terminals.ts';
import { sampleTokens, type TokenSample } from './token-sample.ts';

/** At the end, commands that were sent get this long. */
const QUIT_MS = 1_000;
/** How long a ping waits for the first connection, on a busy host too. A refused connection ends the wait. */
const CONNECT_WAIT_MS = 2_000;
/** How long a ping waits for a connection that is being replaced, for example because Redis was read-only. */
const RECONNECT_WAIT_MS = 250;
const SAMPLE_MS = 1_000;

export interface RedisStoreOptions {
  readonly url: string;
  readonly keyPrefix: string;
  /** The first key encrypts, all keys decrypt. Without keys, records are stored in the clear. */
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly terminalsPerAccount: number;
  /** After which Redis counts as down. Default: 180 ms. Tests of other things wait longer, on a busy machine. */
  readonly commandTimeoutMs?: number;
  readonly clock: Clock;
  readonly log: RedisLog & Pick<Log, 'error'>;
  readonly observer: Pick<Observer, 'redisAsked' | 'redisFailed' | 'storeLostData'>;
}

export interface RedisStore extends TokenStore, Pick<RedisCommands, 'contact' | 'outage' | 'refusedWrites'> {
  /** Uses these keys, and for each new connection the user and the password of the URL, from now on. */
  useSecrets(secrets: Pick<RedisStoreOptions, 'url' | 'encryptionKeys'>): void;
  /** The clock of this host minus that of Redis; `undefined` before its first answer. */
  clockOffsetMs(): number | undefined;
  /** Looks at a few stored tokens, within a second. */
  sample(): Promise<TokenSample | undefined>;
  /** The last loss of each kind that this replica has found. */
  losses(): readonly DataLoss[];
}

/** The store that all replicas share. Needs Redis 6.2 or later, or a compatible server. */
export function createRedisStore(options: RedisStoreOptions): RedisStore {
  const { url, log } = options;
  const connection = connectRedis(url, 'commands', log);
  return redisStoreOn(connection, connectSubscriber(url, connection, log), options);
}

/** The same on two connections that somebody else opens. */
export function redisStoreOn(connection: RedisClient, subscriber: Redis, options: RedisStoreOptions): RedisStore {
  const { keyPrefix, encryptionKeys, terminalsPerAccount, clock, log, observer } = options;
  const redis = new RedisCommands(connection, clock, observer, options.commandTimeoutMs);
  const keys = new Keys(keyPrefix, databaseOf(connection), connection.isCluster);
  const changes = new KnownChanges(keys);
  const cipher = new TokenCipher(encryptionKeys);
  const records = new RecordCodec(cipher);
  const directory = new DirectoryCodec(cipher);
  const context = { redis, keys, changes, records, directory, terminalsPerAccount, clock, log, observer };
  const announcements = new RedisAnnouncements(context, subscriber, connection);
  const ended = ['ready', 'error', 'close'].map((event) => new Promise<void>((end) => connection.once(event, end)));
  // At the start, the connection is still being opened. That is no failure.
  const connected = withTimeout(clock, CONNECT_WAIT_MS, Promise.race(ended));
  let ready: Promise<void> | undefined;
  const nextConnection = (): Promise<void> => {
    ready ??= new Promise((end) => connection.once('ready', end)).then(() => {
      ready = undefined;
    });
    return ready;
  };
  return {
    ...storeParts(context),
    announcements,
    health: {
      async ping() {
        await connected;
        if (connection.status !== 'ready') await withTimeout(clock, RECONNECT_WAIT_MS, nextConnection());
        await redis.ping();
      },
      onReturn(listener) {
        announcements.onReturn(listener);
        redis.onRecovery(() => listener('same'));
      },
    },
    replicas: redisReplicas(context, cipher),
    contact: redis.contact,
    outage: () => redis.outage(),
    refusedWrites: () => redis.refusedWrites(),
    clockOffsetMs() {
      const now = redis.now(keys.changes(0));
      return now === undefined ? undefined : Math.round(clock.now() - now);
    },
    sample: () => withTimeout(clock, SAMPLE_MS, sampleTokens(connection, keys, cipher)),
    losses: () => announcements.losses(),
    useSecrets(secrets) {
      cipher.useKeys(secrets.encryptionKeys);
      for (const client of [connection, subscriber]) useCredentials(client, secrets.url);
    },
    async close() {
      for (const client of [connection, subscriber]) expectEnd(client);
      announcements.close();
      // A paused Redis answers no command, not even this one.
      await withTimeout(clock, QUIT_MS, connection.quit()).catch(() => undefined);
      connection.disconnect();
    },
  };
}

/** The parts of the store that are scripts and commands. */
export function storeParts(context: StoreContext) {
  const accounts = redisAccounts(context);
  const rates = redisRates(context);
  return {
    terminals: redisTerminals(context, accounts),
    accounts,
    dueQueue: redisDueQueue(context),
    rateLimiter: rates,
    loginQueue: rates,
  };
}

/** A text that was signed so long before it was left is a copy. */
const COPY_MS = 60_000;

/** The texts that replicas leave for each other: one hash, with one field per process: signature, time and text. */
function redisReplicas({ redis, keys: { replicas } }: StoreContext, cipher: TokenCipher): ReplicaSummaries {
  const ownId = randomUUID();
  return {
    async leave(text) {
      const body = `${Math.round(redis.now(replicas) ?? 0)} ${text}`;
      await redis.script('leave', [replicas], [ownId, `${cipher.signature(ownId + body)} ${body}`]);
    },
    async others() {
      const answer = (await redis.script('leftByOthers', [replicas], [ownId])) as (number | Buffer)[];
      const now = redis.now(replicas) ?? 0;
      const all = Array.from({ length: answer.length / 3 }, (_, at) => answer.slice(3 * at).map(String));
      return all.flatMap(([id = '', ageMs, left = '']) => {
        const [, signature = '', body = '', signedAt, text = ''] = /^(\S*) ((\d+) (.*))$/s.exec(left) ?? [];
        const isCopy = !(Math.abs(now - Number(ageMs) - Number(signedAt)) <= COPY_MS);
        return isCopy ? [] : [{ id, ageMs: Number(ageMs), text, isSigned: cipher.hasSigned(id + body, signature) }];
      });
    },
    async end(others = []) {
      await redis.command('hdel', replicas, ownId, ...others);
    },
  };
}
