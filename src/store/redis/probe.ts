import { randomUUID } from 'node:crypto';
import { Cluster } from 'ioredis';
import { withTimeout } from '../../token/clock.ts';
import { databaseOf, type RedisClient } from './connection/clients.ts';
import { connectRedis, connectSubscriber, isOfSelect, SCRIPT_MAY_NOT } from './connection/connection.ts';
import { credentialsOf, readTopology } from './connection/topology.ts';
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
 * `CROSSSLOT` (the keys of a script must be in one slot), `KEYS` (each key in a script must be written as `KEYS[…]`),
 * `REFUSED` (commands), `UNHEARD` (a message of a script does not arrive), `timeout`, `closed` (by the server), or
 * `unknown`.
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
      /** The commands that Redis refuses or does not know. */
      readonly refused: readonly string[];
      /** The words of Redis, if the trouble is `ERR`. */
      readonly said: string | undefined;
      readonly sample: TokenSample;
      /** Whether it lets everybody in, although the URL has a password. */
      readonly isOpen: boolean;
      /** Whether it writes neither an append-only file nor snapshots. Only the default user asks: others seldom may. */
      readonly isVolatile: boolean;
    };

interface Failure {
  readonly command: string;
  readonly error: Error;
}

/** How long the messages of the scripts may take. */
const HEARD_MS = 2_000;
const MAX_SAID = 120;

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
    const failures: Failure[] = [];
    const failing = (command: string) => (error: Error) => void failures.push({ command, error });
    await redis.ping().catch(failing('PING'));
    const roundTripMs = Math.round(clock.monotonic() - askedAt);
    const info = await redis.info().then(fieldsOf, () => new Map());
    const channel = keys.beats(randomUUID());
    const heard = new Promise<true>((resolve) => {
      let messages = 0;
      subscriber.on('message', () => ++messages === SHARDS && resolve(true));
    });
    const subscriberTrouble = await troubleConnecting(subscriber, timeoutMs);
    if (!subscriberTrouble) await subscriber.subscribe(keys.announcements, channel).catch(failing('SUBSCRIBE'));
    failures.push(...(await failuresOfScripts(redis, keys, channel)));
    const refused = failures.filter(({ error }) => REFUSAL.test(error.message)).map(nameOf);
    const [first] = failures;
    const code = refused.length > 0 ? 'REFUSED' : first ? codeOf(first.error) : subscriberTrouble;
    const isHeard = code !== undefined || (await withTimeout(clock, HEARD_MS, heard));
    const sample = await sampleTokens(redis, keys, new TokenCipher(encryptionKeys));
    const asksForSaves = info.get('aof_enabled') === '0' && usernameIn(url) === 'default';
    const saves = asksForSaves && (await redis.config('GET', 'save').catch(() => undefined));
    return {
      connected: true,
      roundTripMs,
      info,
      scriptTrouble: isHeard ? code : 'UNHEARD',
      refused: [...new Set(refused)].sort(),
      said: code === 'ERR' ? first?.error.message.slice(0, MAX_SAID) : undefined,
      sample,
      isOpen: await isOpenWithoutPassword(url, timeoutMs),
      isVolatile: Array.isArray(saves) && saves[1] === '',
    };
  } finally {
    redis.disconnect();
    subscriber.disconnect();
  }
}

function usernameIn(url: string): string {
  const topology = readTopology(url);
  return (topology && credentialsOf(topology).username) ?? 'default';
}

/** It sends no password: Redis logs a wrong one (ACL LOG). */
async function isOpenWithoutPassword(url: string, timeoutMs: number): Promise<boolean> {
  const bare = url.replace(/:\/\/[^/?#]*@/, '://');
  if (bare === url) return false;
  const redis = connectRedis(bare, 'check', SILENT);
  try {
    return (await troubleConnecting(redis, timeoutMs)) === undefined && (await redis.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
}

async function failuresOfScripts(redis: RedisClient, keys: Keys, channel: string): Promise<Failure[]> {
  const scripts = Array.from({ length: SHARDS }, async (_, shard): Promise<Failure[]> => {
    // Unless Redis is a cluster, some scripts use keys of several shards.
    const shards = redis.isCluster ? [shard] : [shard, (shard + 1) % SHARDS];
    try {
      const call = runScript(redis, ['probe', shards.map((one) => keys.probe(one)), [channel]]);
      const failed = ((await call) as Buffer[]).map(String);
      return Array.from({ length: failed.length / 2 }, (_, at) => {
        return { command: failed[2 * at] ?? '', error: new Error(failed[2 * at + 1]) };
      });
    } catch (error) {
      return [{ command: 'EVALSHA', error: error as Error }];
    }
  });
  return (await Promise.all(scripts)).flat();
}

/** The messages of Redis, Valkey and Tair about a command that the user may not run, or that they do not know. */
const REFUSAL = /no permissions to run|can't run this command|unknown (\w+ )?command|command \w+ not support/i;

/** The name of a refused command. A script begins with TIME, whose failure names the script alone. */
function nameOf({ command, error: { message } }: Failure): string {
  if (command !== 'EVALSHA') return command;
  const [, name = /called from/.test(message) ? 'TIME' : command] =
    /(?:the |command )'?([a-z]+)'?(?: command|,| not support)/i.exec(message) ?? [];
  return name.toUpperCase();
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
  if (error.message.includes('same slot')) return 'CROSSSLOT';
  if (error.message.includes('using the KEYS array')) return 'KEYS';
  return /^[A-Z]{2,} /.exec(error.message)?.[0].trim() ?? 'unknown';
}

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split('\r\n').filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}
