import { Cluster } from 'ioredis';
import { accountOf, isSubjectId, type SubjectId, terminalOf } from '../../token/subject.ts';
import { databaseOf, type RedisClient } from './connection/clients.ts';
import { connectRedis, connectSubscriber, isOfSelect, SCRIPT_MAY_NOT } from './connection/connection.ts';
import { Keys, SHARDS } from './keys.ts';
import { runScript } from './lua-scripts.ts';
import { RecordCodec } from './records/record-codec.ts';
import { isKeyId, keyIdOf, type SealedField, TokenCipher } from './records/token-cipher.ts';
import type { RedisStoreOptions } from './redis-store.ts';

export interface RedisProbeOptions extends Pick<RedisStoreOptions, 'url' | 'keyPrefix' | 'encryptionKeys' | 'clock'> {
  /** Maximum ms until the connection is ready. */
  readonly timeoutMs: number;
}

/**
 * The result of a probe. A trouble is the system's error code, the first word of Redis's error (`NOAUTH`), `NOSENTINEL`
 * or `NONODE` (no Sentinel or node answers), `NOMASTER` (the Sentinels do not know the master), `NODATABASE` (Redis
 * refuses to select it), `NOCLUSTER` (Redis runs without cluster mode), `CLUSTERDOWN` (the cluster is not ready),
 * `timeout`, `closed` (by the server), or `unknown`.
 */
export type RedisProbe =
  | { readonly connected: false; readonly trouble: string }
  | {
      readonly connected: true;
      /** Duration of one command. */
      readonly roundTripMs: number;
      /** Fields of INFO; empty when the user may not run it. */
      readonly info: ReadonlyMap<string, string>;
      /** Why a script could not write a key, publish, and delete the key, or why PING or SUBSCRIBE failed. */
      readonly scriptTrouble: string | undefined;
      readonly sample: TokenSample;
    };

/** Numbers of stored tokens, among a few that were looked at. */
export interface TokenSample {
  readonly lookedAt: number;
  /** Not encrypted, although there are encryption keys. */
  readonly inTheClear: number;
  /** Encrypted, but no key decrypts them. */
  readonly unreadable: number;
  /** The ids of the keys that encrypted the unreadable ones, as far as they can be read. */
  readonly keyIds: readonly string[];
}

const SILENT = { info: () => undefined, warn: () => undefined };

/** Connects like the store, tests what it needs, and leaves nothing in Redis. Never throws. */
export async function probeRedis(options: RedisProbeOptions): Promise<RedisProbe> {
  const { url, keyPrefix, encryptionKeys, timeoutMs, clock } = options;
  const redis = connectRedis(url, 'check', SILENT);
  const subscriber = connectSubscriber(url, redis, SILENT);
  const keys = new Keys(keyPrefix, databaseOf(redis));
  try {
    const trouble = await troubleConnecting(redis, timeoutMs);
    if (trouble) return { connected: false, trouble };
    const askedAt = clock.monotonic();
    const pingTrouble = await redis.ping().then(() => undefined, codeOf);
    const roundTripMs = Math.round(clock.monotonic() - askedAt);
    const info = await redis.info().then(fieldsOf, () => new Map());
    // One node of a cluster, at the URL of a single Redis, accepts only the keys that it holds.
    const scripts = Array.from({ length: SHARDS }, (_, shard) =>
      runScript(redis, ['probe', [keys.probe(shard)], [keys.announcements]]),
    );
    const scriptTrouble =
      (await Promise.all(scripts).then(() => undefined, codeOf)) ??
      pingTrouble ??
      (await troubleConnecting(subscriber, timeoutMs)) ??
      (await subscriber.subscribe(keys.announcements).then(() => undefined, codeOf));
    const sample = await sampleTokens(redis, keys, new TokenCipher(encryptionKeys));
    return { connected: true, roundTripMs, info, scriptTrouble, sample };
  } finally {
    redis.disconnect();
    subscriber.disconnect();
  }
}

/** In each shard, so many tokens that are due first, and so many that are due last: in general old and new ones. */
const SAMPLED_AT_EACH_END = 2;

async function sampleTokens(redis: RedisClient, keys: Keys, cipher: TokenCipher): Promise<TokenSample> {
  const records = new RecordCodec(cipher);
  const shards = Array.from({ length: SHARDS }, (_, shard) => sampledFields(redis, keys, shard, records));
  const fields = (await Promise.all(shards)).flat();
  const closed = fields.filter(({ sealed, additionalData }) => !cipher.open(sealed, additionalData));
  const ids = closed.map(({ sealed }) => keyIdOf(sealed)).filter((id) => id !== undefined);
  return {
    lookedAt: fields.length,
    inTheClear: closed.length - ids.length,
    unreadable: ids.length,
    keyIds: [...new Set(ids)].filter(isKeyId).sort(),
  };
}

/** Anyone who can write to Redis can write any entry or value there, which then counts as none. */
async function sampledFields(
  redis: RedisClient,
  keys: Keys,
  shard: number,
  records: RecordCodec,
): Promise<SealedField[]> {
  const due = keys.due(shard);
  const ends = [redis.zrange(due, 0, String(SAMPLED_AT_EACH_END - 1)), redis.zrange(due, -SAMPLED_AT_EACH_END, '-1')];
  const entries = await Promise.all(ends.map((end) => end.catch(() => [])));
  const ids = [...new Set(entries.flat() as SubjectId[])].filter(isSubjectId);
  const fields = ids.map(async (id) => {
    const key = keys.account(accountOf(id));
    const bytes = await redis.hgetBuffer(key, terminalOf(id)).catch(() => null);
    return bytes ? (records.sealedField(bytes, id, key) ?? []) : [];
  });
  return (await Promise.all(fields)).flat();
}

function troubleConnecting(redis: RedisClient, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    if (redis.status === 'ready') return resolve(undefined);
    const timer = setTimeout(() => resolve('timeout'), timeoutMs);
    redis.once('ready', () => resolve(undefined));
    redis.once('error', (error) => resolve(codeOf(error)));
    // A node answers, but not as the broker needs it.
    redis.once('close', () => resolve(redis instanceof Cluster ? 'CLUSTERDOWN' : 'closed'));
    for (const event of ['ready', 'error', 'close']) redis.once(event, () => clearTimeout(timer));
  });
}

/** Codes only, because messages may quote arguments. ioredis wraps the error of one of several servers. */
function codeOf(error: Error): string {
  if ('lastNodeError' in error) {
    const code = error.lastNodeError instanceof Error ? codeOf(error.lastNodeError) : 'unknown';
    return code === 'unknown' ? 'NONODE' : code;
  }
  if (error.message.startsWith('All sentinels')) {
    return error.message.includes('No such master') ? 'NOMASTER' : 'NOSENTINEL';
  }
  if (error.message.startsWith('Too many Cluster redirections')) return 'CLUSTERDOWN';
  if (isOfSelect(error)) return 'NODATABASE';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (/^(Command timed out|Socket timeout)/.test(error.message)) return 'timeout';
  if (error.message.includes('cluster support disabled')) return 'NOCLUSTER';
  if (SCRIPT_MAY_NOT.test(error.message)) return 'NOPERM';
  return /^[A-Z]{2,} /.exec(error.message)?.[0].trim() ?? 'unknown';
}

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split('\r\n').filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}
