import { type Callback, Redis, type RedisOptions } from 'ioredis';
import { BrokerError } from '../../token/errors.ts';
import { SCRIPTS, type ScriptName } from './scripts.ts';

/** Most ms one command may take before it counts as failed. */
const COMMAND_TIMEOUT_MS = 400;
const CONNECT_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_DELAY_MS = 1_000;

const OPTIONS = {
  connectTimeout: CONNECT_TIMEOUT_MS,
  commandTimeout: COMMAND_TIMEOUT_MS,
  maxRetriesPerRequest: 1,
  enableOfflineQueue: false,
  lazyConnect: true,
  // ioredis would leave a failure of it unhandled; Announcements subscribes by itself.
  autoResubscribe: false,
  scripts: SCRIPTS,
  retryStrategy: (attempt: number) => Math.min(MAX_RECONNECT_DELAY_MS, 50 * 2 ** Math.min(attempt, 6)),
} satisfies RedisOptions;

export interface ConnectionLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** A connection to Redis that opens in the background and comes back by itself. Its errors carry no arguments. */
export function connectRedis(url: string, role: string, log: ConnectionLog): Redis {
  const redis = new Redis(url, { ...OPTIONS, connectionName: `sdk-token-broker:${role}` });
  redis.on('ready', () => log.info({ role }, 'connected to Redis'));
  redis.on('error', (error) => log.warn({ role, reason: redacted(error) }, 'Redis connection failed'));
  redis.connect().catch(() => undefined);
  return redis;
}

type Script = (...args: (string | number | Buffer | Callback<unknown>)[]) => Promise<unknown>;

/** Runs one of {@link SCRIPTS}; strings come back as buffers. @throws BrokerError `store_unavailable` */
export async function runScript(
  redis: Redis,
  name: ScriptName,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<unknown> {
  const script = (redis as unknown as Record<string, Script>)[`${name}Buffer`];
  if (!script) throw new TypeError(`script ${name} is not defined`);
  return orUnavailable(script.call(redis, ...keys, ...args));
}

/** @throws BrokerError `store_unavailable` in place of whatever the command throws */
export async function orUnavailable<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw new BrokerError('store_unavailable', { retryAfter: 1, cause: new Error(redacted(error)) });
  }
}

/** ioredis errors carry the command with its arguments, and Redis quotes some in its messages: neither may be shown. */
function redacted(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error ? ` ${String(error.code)}` : '';
  return `${error.name}${code}: ${error.message.split(/, with args|'/)[0]}`;
}
