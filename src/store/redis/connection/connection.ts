import { Cluster, type Redis } from 'ioredis';
import { BrokerError } from '../../../token/errors.ts';
import { LUA_SCRIPTS } from '../lua-scripts.ts';
import { type ClientOptions, createClient, createSubscriber, type RedisClient } from './clients.ts';
import { readTopology, type Topology } from './topology.ts';

/** Whoever asked has given up long before: this ends what nobody waits for any more. */
const COMMAND_TIMEOUT_MS = 2_000;
const CONNECT_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_DELAY_MS = 1_000;
/** A server that is gone without a word would otherwise be waited for until TCP gives up, a quarter of an hour later. */
const SILENCE_MS = 2_000;
/** How long the other side may take to close what we have closed. */
const DISCONNECT_TIMEOUT_MS = 500;
/** A replica refuses writes. If it was the master a moment ago, a new connection leads to who is; not if it never was. */
const READONLY_PAUSE_MS = 5_000;

const OPTIONS = {
  connectTimeout: CONNECT_TIMEOUT_MS,
  commandTimeout: COMMAND_TIMEOUT_MS,
  socketTimeout: SILENCE_MS,
  disconnectTimeout: DISCONNECT_TIMEOUT_MS,
  maxRetriesPerRequest: 1,
  enableOfflineQueue: false,
  lazyConnect: true,
  // ioredis would leave a failure of it unhandled; RedisAnnouncements subscribes by itself.
  autoResubscribe: false,
  scripts: LUA_SCRIPTS,
  retryStrategy: (attempt: number) => Math.min(MAX_RECONNECT_DELAY_MS, 50 * 2 ** Math.min(attempt, 6)),
} satisfies ClientOptions;

/** The last Sentinel has been asked, and the first one is next. Whatever is wrong with one has been told before. */
const SENTINELS_ASKED = /^All sentinels are unreachable/;

export interface ConnectionLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** A connection to Redis that opens in the background and comes back by itself. Its errors carry no arguments. */
export function connectRedis(url: string, role: string, log: ConnectionLog): RedisClient {
  return opened(createClient(topologyOf(url), optionsOf(role)), role, log);
}

/** A connection that hears what is published; where that is in a cluster, it learns from `commands`. */
export function connectSubscriber(url: string, commands: RedisClient, log: ConnectionLog): Redis {
  const role = 'announcements';
  return opened(createSubscriber(topologyOf(url), optionsOf(role), commands), role, log);
}

function topologyOf(url: string): Topology {
  const topology = readTopology(url);
  if (!topology) throw new TypeError('this is no URL of a Redis');
  return topology;
}

function optionsOf(role: string): ClientOptions {
  let reconnectedAt = Number.NEGATIVE_INFINITY;
  const reconnectOnError = ({ message }: Error): boolean => {
    if (!message.includes('READONLY') || performance.now() - reconnectedAt < READONLY_PAUSE_MS) return false;
    reconnectedAt = performance.now();
    return true;
  };
  return { ...OPTIONS, connectionName: `sdk-token-broker:${role}`, reconnectOnError };
}

function opened<T extends RedisClient>(client: T, role: string, log: ConnectionLog): T {
  const warn = (error: unknown) => log.warn({ role, reason: redacted(error) }, 'Redis connection failed');
  client.on('ready', () => log.info({ role }, 'connected to Redis'));
  client.on('sentinelError', warn);
  client.on('error', (error: Error) => SENTINELS_ASKED.test(error.message) || warn(error));
  if (client instanceof Cluster) logNodes(client, role, log);
  client.connect().catch(() => undefined);
  return client;
}

/** A node that is down fails as often as it is asked: it is told once, and again after it was well. */
function logNodes(cluster: Cluster, role: string, log: ConnectionLog): void {
  const ailing = new Set<string>();
  cluster.on('node error', (error: unknown, node: string) => {
    if (ailing.has(node)) return;
    ailing.add(node);
    log.warn({ role, node, reason: redacted(error) }, 'a node of the Redis Cluster failed');
  });
  cluster.on('+node', (redis: Redis) => {
    redis.once('ready', () => ailing.delete(`${redis.options.host}:${redis.options.port}`));
  });
}

/** @throws BrokerError `store_unavailable` in place of whatever the command throws */
export async function orUnavailable<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (error) {
    throw unavailable(error);
  }
}

/** The BrokerError `store_unavailable` that stands for what a command threw. */
export function unavailable(error: unknown): BrokerError {
  return new BrokerError('store_unavailable', { retryAfter: 1, cause: new Error(redacted(error)) });
}

/** ioredis errors carry the command with its arguments, and Redis quotes some in its messages: neither may be shown. */
function redacted(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error ? ` ${String(error.code)}` : '';
  return `${error.name}${code}: ${error.message.split(/, with args|\B'/)[0]}`;
}
