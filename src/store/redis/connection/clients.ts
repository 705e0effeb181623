import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Address, ClusterTopology, SentinelTopology, Topology } from './topology.ts';

/** What commands are sent with, however Redis is run. */
export type RedisClient = Redis | Cluster;

/** Options of every connection, to one server or to each of many. */
export interface ClientOptions extends Omit<RedisOptions, 'replyMapping' | 'scripts' | 'retryStrategy'> {
  readonly scripts: Record<string, { readonly lua: string }>;
  /** Ms after which to try again. */
  readonly retryStrategy: (attempt: number) => number;
}

/**
 * How a command to a cluster is sent again when a node is gone or tells where else to ask: at most twice to a node that
 * is gone, so that it fails before it counts as unanswered, which would close the way to the other nodes too.
 */
const REDIRECTIONS = {
  maxRedirections: 4,
  retryDelayOnFailover: 50,
  retryDelayOnClusterDown: 50,
  retryDelayOnTryAgain: 50,
  slotsRefreshTimeout: 1_000,
} as const;

/** A client for commands; not connected yet. */
export function createClient(topology: Topology, options: ClientOptions): RedisClient {
  switch (topology.kind) {
    case 'single':
      return new Redis(topology.url, options);
    case 'sentinel':
      return new Redis(throughSentinels(topology, options));
    case 'cluster':
      return new Cluster([...topology.nodes], {
        ...REDIRECTIONS,
        redisOptions: { ...options, ...accessOf(topology) },
        scripts: options.scripts,
        lazyConnect: true,
        enableOfflineQueue: false,
        clusterRetryStrategy: options.retryStrategy,
        // Names are looked up as they are connected to: a certificate is for a name, and its address may change.
        dnsLookup: (host, callback) => callback(null, host),
      });
  }
}

/**
 * A client for subscribing; not connected yet. Every node of a cluster passes on what is published at any of them, so
 * one of them will do, another one at each attempt: ioredis's own subscriber for clusters never leaves one that hangs.
 * @param commands where the nodes of a cluster are learnt from
 */
export function createSubscriber(topology: Topology, options: ClientOptions, commands: RedisClient): Redis {
  switch (topology.kind) {
    case 'single':
      return new Redis(topology.url, options);
    case 'sentinel':
      return new Redis(throughSentinels(topology, options));
    case 'cluster': {
      let turn = -1;
      const nextNode = (): Address | undefined => {
        const known = nodesOf(commands).map(addressOf);
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
  }
}

/** The masters that keys are spread over: one, unless it is a cluster. */
export function mastersOf(client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

function nodesOf(client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes() : [client];
}

function addressOf({ options }: Redis): Address {
  const { host = '127.0.0.1', port = 6_379 } = options;
  return { host, port };
}

function throughSentinels(topology: SentinelTopology, options: ClientOptions) {
  const { sentinels, name, sentinelPassword, tls } = topology;
  return {
    ...options,
    ...accessOf(topology),
    sentinels: [...sentinels],
    name,
    sentinelPassword: sentinelPassword || undefined,
    // One that hangs is passed over.
    sentinelCommandTimeout: options.commandTimeout,
    sentinelRetryStrategy: options.retryStrategy,
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
  };
}

function accessOf({ username, password, tls }: SentinelTopology | ClusterTopology) {
  return { username: username || undefined, password: password || undefined, ...(tls && { tls: {} }) };
}
