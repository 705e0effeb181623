import { Cluster, Redis, type RedisOptions } from 'ioredis';
import {
  type Address,
  type ClusterTopology,
  credentialsOf,
  type SentinelTopology,
  type SingleTopology,
  type Topology,
} from './topology.ts';

/** A client for commands, for one server or a cluster. */
export type RedisClient = Redis | Cluster;

/** Options of each connection to a server. */
export interface ClientOptions extends Omit<RedisOptions, 'replyMapping' | 'scripts' | 'retryStrategy'> {
  readonly scripts: Record<string, { readonly lua: string }>;
  /** @returns ms until the next attempt to connect */
  readonly retryStrategy: (attempt: number) => number;
}

/** Limits retries on a cluster: a command to a dead node must fail before the timeout that opens the breaker. */
const REDIRECTIONS = {
  maxRedirections: 4,
  retryDelayOnFailover: 50,
  retryDelayOnClusterDown: 50,
  retryDelayOnTryAgain: 50,
  slotsRefreshTimeout: 1_000,
} as const;

/** Creates a client for commands. It connects in the background. */
export function createClient(topology: Topology, options: ClientOptions): RedisClient {
  if (topology.kind !== 'cluster') return createMasterClient(topology, options);
  const redisOptions = { ...options, ...accessOf(topology) };
  const cluster = new Cluster([...topology.nodes], {
    ...REDIRECTIONS,
    redisOptions,
    scripts: options.scripts,
    enableOfflineQueue: false,
    clusterRetryStrategy: options.retryStrategy,
    // Connect by host name: a TLS certificate is for a name, and its address may change.
    dnsLookup: (host, callback) => callback(null, host),
  });
  // ioredis copies `redisOptions` once. The credentials in it may change later.
  return cluster.on('+node', (node: Redis) => {
    const { username, password } = redisOptions;
    Object.assign(node.options, { username, password });
    catchAsking(node);
  });
}

/** For a slot that moves, ioredis sends ASKING. Its failure, which ioredis does not catch, would end the process. */
function catchAsking(node: Redis): void {
  const asking = node.asking.bind(node);
  node.asking = () => {
    const answer = asking();
    answer.catch(() => undefined);
    return answer;
  };
}

/**
 * Creates a client for subscriptions, which connects in the background. One node of a cluster is enough, because it
 * gets the messages of all others; each attempt takes the next. The cluster subscriber of ioredis never leaves a node
 * that hangs.
 * @param commands knows the nodes of a cluster
 */
export function createSubscriber(topology: Topology, options: ClientOptions, commands: RedisClient): Redis {
  if (topology.kind !== 'cluster') return createMasterClient(topology, options);
  let turn = -1;
  const nextNode = (): Address | undefined => {
    const known = (commands as Cluster).nodes().map(addressOf);
    const nodes = known.length > 0 ? known : topology.nodes;
    turn += 1;
    return nodes[turn % nodes.length];
  };
  const subscriber: Redis = new Redis({
    ...options,
    ...accessOf(topology),
    ...nextNode(),
    retryStrategy(attempt) {
      Object.assign(subscriber.options, nextNode());
      return options.retryStrategy(attempt);
    },
  });
  return subscriber;
}

/** The masters that hold the keys: one, or several on a cluster. */
export function mastersOf(client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

/** The number of the database that the client uses. A cluster has only one. */
export function databaseOf(client: RedisClient): number {
  return client instanceof Cluster ? 0 : (client.options.db ?? 0);
}

function addressOf({ options }: Redis): Address {
  const { host = '127.0.0.1', port = 6_379 } = options;
  return { host, port };
}

/** A client for the only server, or for the master that the Sentinels name. */
function createMasterClient(topology: SingleTopology | SentinelTopology, options: ClientOptions): Redis {
  if (topology.kind === 'single') return new Redis(topology.url, options);
  const { sentinels, name, tls } = topology;
  return new Redis({
    ...options,
    ...accessOf(topology),
    sentinels: [...sentinels],
    name,
    // After this time ioredis goes on to the next Sentinel.
    sentinelCommandTimeout: options.connectTimeout,
    sentinelRetryStrategy: options.retryStrategy,
    // Otherwise a connection stays with a master that the Sentinels have replaced, until they demote it 10 s later.
    failoverDetector: true,
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
  });
}

function accessOf(topology: SentinelTopology | ClusterTopology) {
  return { ...credentialsOf(topology), ...(topology.tls && { tls: {} }) };
}
