import { channel } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { Cluster, Command, type Redis, ReplyError } from 'ioredis';
import { TIMEOUT_PARTS } from '../../../token/clock.ts';
import { BrokerError } from '../../../token/errors.ts';
import type { Log } from '../../../token/log.ts';
import { LUA_SCRIPTS } from '../lua-scripts.ts';
import { type ClientOptions, createClient, createSubscriber, type RedisClient } from './clients.ts';
import { credentialsOf, readTopology, type Topology } from './topology.ts';

const OPTIONS = {
  connectTimeout: 2_000,
  disconnectTimeout: 500,
  maxRetriesPerRequest: 1,
  enableOfflineQueue: false,
  // ioredis leaves a failed resubscription unhandled, so RedisAnnouncements subscribes itself.
  autoResubscribe: false,
  scripts: LUA_SCRIPTS,
  retryStrategy: (attempt: number) => Math.min(1_000, 50 * 2 ** attempt),
} satisfies ClientOptions;

const COMMAND_TIMEOUT_MS = 2_000;

/** Ends a connection that answers nothing. Callers have a shorter timeout. ioredis would wait a quarter of an hour. */
export const SILENCE_MS = 2_000;

/** Minimum time between such reconnections. It does not grow: an address may lead to the new master late. */
const NOT_MASTER_PAUSE_MS = 5_000;
/** Answers of a server that is no master any more, or one that has lost its replicas. */
const NOT_MASTER = /\b(READONLY|NOREPLICAS)\b/;

/** ioredis emits this after each round through the Sentinels, whose errors it has emitted before. */
const ALL_SENTINELS_FAILED = /^All sentinels are unreachable/;

/** ioredis ends for good with this, if the Sentinels announce a failover while it asks one of them for the master. */
const GIVEN_UP = 'Connection is closed.';

/** A whole account with the most terminals takes 1 MB. An answer of this size takes up to 70 MB once it is parsed. */
const MAX_ANSWER_BYTES = 2 * 2 ** 20;

/** Tells of each new connection to a server, in the form in which undici tells of its own. */
const connected = channel('sdk-token-broker:redis:connected');

export type RedisLog = Pick<Log, 'info' | 'warn'>;

/** Opens a connection in the background; it reconnects by itself. Logged errors carry no arguments of commands. */
export function connectRedis(url: string, role: string, log: RedisLog): RedisClient {
  return connect((options) => createClient(topologyOf(url), options), role, log);
}

/** Opens a connection for subscriptions. On a cluster it learns the nodes from `commands`. */
export function connectSubscriber(url: string, commands: RedisClient, log: RedisLog): Redis {
  return connect((options) => createSubscriber(topologyOf(url), options, commands), 'announcements', log);
}

/** Uses the user and the password of the URL for each new connection. Open ones stay, because Redis keeps them. */
export function useCredentials(client: RedisClient, url: string): void {
  const credentials = credentialsOf(topologyOf(url));
  if (!(client instanceof Cluster)) {
    Object.assign(client.options, credentials);
    return;
  }
  // `createClient` gives the options of the cluster to nodes that join later.
  const nodes = client.nodes().map(({ options }) => options);
  for (const options of [client.options.redisOptions, ...nodes]) Object.assign(options ?? {}, credentials);
}

/** Connections that the broker itself ends. ioredis may report an error then, which says nothing about Redis. */
const ending = new WeakSet<RedisClient>();

/** From now on, no failure of the connection is logged, because the broker is about to end it. */
export function expectEnd(client: RedisClient): void {
  ending.add(client);
}

function topologyOf(url: string): Topology {
  const topology = readTopology(url);
  if (!topology) throw new TypeError('not a Redis URL');
  return topology;
}

function connect<T extends RedisClient>(create: (options: ClientOptions) => T, role: string, log: RedisLog): T {
  let reconnectedAt = Number.NEGATIVE_INFINITY;
  /** Whether this process has ended the last connection because its server is no master any more. */
  let isOwnEnd = false;
  const reconnectOnError = ({ message }: Error): boolean => {
    if (!NOT_MASTER.test(message) || performance.now() - reconnectedAt < NOT_MASTER_PAUSE_MS) return false;
    reconnectedAt = performance.now();
    isOwnEnd = true;
    return true;
  };
  // RedisCommands has a shorter timeout of its own.
  const timeout = role === 'commands' ? {} : { commandTimeout: COMMAND_TIMEOUT_MS };
  const client = create({ ...OPTIONS, ...timeout, connectionName: `sdk-token-broker:${role}`, reconnectOnError });
  const warn = (error: unknown): void => {
    if (!ending.has(client)) log.warn({ role, reason: redacted(error) }, 'Redis connection failed');
  };
  client.on('ready', () => {
    // A cluster is ready again only after it has lost all nodes.
    if (!isOwnEnd || client instanceof Cluster) log.info({ role }, 'connected to Redis');
    isOwnEnd = false;
  });
  client.on('sentinelError', warn);
  let isRejected = false;
  let hasGivenUp = false;
  client.on('error', (error: Error) => {
    isOwnEnd = false;
    hasGivenUp = error.message === GIVEN_UP;
    if (isRejected || ALL_SENTINELS_FAILED.test(error.message)) return;
    warn(error);
    if (!isOfSelect(error)) return;
    // ioredis would go on with database 0. The end of the connection makes its next command fail, which says nothing
    // new.
    isRejected = true;
    client.disconnect(true);
  });
  client.on('close', () => {
    isRejected = false;
  });
  client.on('end', () => {
    if (!hasGivenUp) return;
    hasGivenUp = false;
    client.connect().catch(() => undefined);
  });
  const watch = (node: Redis): void => {
    boundAnswers(node);
    endSilentConnections(node);
    node.on('connect', () => {
      const { stream: socket, options } = node;
      const { remoteAddress, remotePort } = socket as Partial<Socket>;
      // Sentinels tell the address.
      const host = options.sentinels ? `${remoteAddress}:${remotePort}` : `${options.host}:${options.port}`;
      connected.publish({ connectParams: { host }, socket });
    });
  };
  if (client instanceof Cluster) {
    client.on('+node', watch);
    client.on('node error', (error: unknown, node: string) => {
      if (!ending.has(client)) log.warn({ role, node, reason: redacted(error) }, 'a node of the Redis Cluster failed');
    });
  } else watch(client);
  return client;
}

/**
 * Anyone who can write to Redis can store a value of 512 MB. An answer that is longer than {@link MAX_ANSWER_BYTES}
 * fails its command and ends the connection before the rest arrives. ioredis then sends the other commands once more.
 */
function boundAnswers(node: Redis): void {
  let bytes = 0;
  node.on('connect', () => {
    const { stream } = node;
    bytes = 0;
    let first = node.commandQueue.peekFront();
    // ioredis has listened before, so the commands that this chunk answers have left the queue.
    stream.on('data', (chunk: Buffer) => {
      const next = node.commandQueue.peekFront();
      // If no command waits any more, every answer is complete.
      const isSame = first === next && (next !== undefined || node.mode === 'subscriber');
      first = next;
      bytes = isSame ? bytes + chunk.length : 0;
      if (bytes <= MAX_ANSWER_BYTES) return;
      const [key] = first?.command instanceof Command ? first.command.getKeys() : [];
      const what = key === undefined ? 'a message' : `the answer about ${key}`;
      const error = new Error(`${what} is longer than ${MAX_ANSWER_BYTES} bytes`);
      node.commandQueue.shift()?.command.reject(error);
      stream.destroy(error);
    });
  });
  // A message answers no command.
  node.on('message', () => {
    bytes = 0;
  });
}

/**
 * Ends a connection on which a command has waited for {@link SILENCE_MS} while nothing arrived. The `socketTimeout` of
 * ioredis would also count a standstill of this process, before it reads the answers. See {@link TIMEOUT_PARTS}.
 */
function endSilentConnections(node: Redis): void {
  node.on('connect', () => {
    const { stream } = node;
    let silentParts = 0;
    const parts = setInterval(() => {
      silentParts = node.commandQueue.length > 0 ? silentParts + 1 : 0;
      // The first part may have begun before the command.
      if (silentParts <= TIMEOUT_PARTS) return;
      // After a standstill, timers run before the answers are read.
      setImmediate(() => {
        if (silentParts === 0) return;
        stream.destroy(new Error(`Socket timeout: nothing arrived in ${SILENCE_MS} ms`));
      });
    }, SILENCE_MS / TIMEOUT_PARTS);
    stream.on('data', () => {
      silentParts = 0;
    });
    stream.once('close', () => clearInterval(parts));
  });
}

/** The error that callers of the store get in place of the error of a command. */
export function storeUnavailable(error: unknown): BrokerError {
  return new BrokerError('store_unavailable', { retryAfter: 1, cause: new Error(redacted(error)) });
}

/** Whether Redis refused to select the database of the URL. */
export function isOfSelect(error: Error): boolean {
  return error instanceof ReplyError && (error as { command?: { name?: string } }).command?.name === 'select';
}

/** The messages of Redis 7 and of earlier versions when an ACL denies a command inside a script. */
export const SCRIPT_MAY_NOT = /ACL failure in script|The user executing the script can't/;

/**
 * Errors of ioredis carry the command with its arguments, and Redis quotes some in its messages. Both are secret, but
 * not the name of a command for which the user has no right.
 */
function redacted(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error ? ` ${String(error.code)}` : '';
  const what = isOfSelect(error) ? 'the database of REDIS_URL cannot be selected: ' : '';
  return `${what}${error.name}${code}: ${error.message.split(/, with args|\B'(?![a-z|]+' command)/)[0]}`;
}
