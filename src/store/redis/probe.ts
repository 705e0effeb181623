import { Cluster } from 'ioredis';
import { databaseOf, type RedisClient } from './connection/clients.ts';
import { connectRedis, connectSubscriber, isOfSelect, SCRIPT_MAY_NOT } from './connection/connection.ts';
import { Keys, SHARDS } from './keys.ts';
import { runScript } from './lua-scripts.ts';
import { TokenCipher } from './records/token-cipher.ts';
import type { RedisStoreOptions } from './redis-store.ts';
import { sampleTokens, type TokenSample } from './token-sample.ts';

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
