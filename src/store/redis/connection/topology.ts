import { isDeepStrictEqual } from 'node:util';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Credentials and encryption for several servers. */
interface Access {
  /** Empty for the default user. */
  readonly username: string;
  /** Empty for none. */
  readonly password: string;
  readonly tls: boolean;
}

export interface SingleTopology {
  readonly kind: 'single';
  /** In the form that ioredis takes. */
  readonly url: string;
}

export interface SentinelTopology extends Access {
  readonly kind: 'sentinel';
  readonly sentinels: readonly Address[];
  /** The Sentinels' name of the master. */
  readonly name: string;
  /** The password of the Sentinels themselves; empty for none. */
  readonly sentinelPassword: string;
}

export interface ClusterTopology extends Access {
  readonly kind: 'cluster';
  /** Some nodes of the cluster. ioredis asks them for the others. */
  readonly nodes: readonly Address[];
}

/** The servers of a Redis and how they are run. */
export type Topology = SingleTopology | SentinelTopology | ClusterTopology;

const SENTINEL_PORT = 26_379;
const CLUSTER_PORT = 6_379;
const SEVERAL = /^redis-(sentinel|cluster):\/\/(?:([^:@/?#]*):([^@/?#]*)@)?([^@/?#]+)(?:\/([^@/?#]*))?(?:\?([^#]*))?$/;

/**
 * Reads REDIS_URL: `redis://` and `rediss://` as ioredis reads them, with `/0`, `/1`, … for another database and
 * `?family=6` for IPv6 alone;
 * `redis-sentinel://user:password@host:port,…/name?tls=true&sentinelPassword=…`;
 * `redis-cluster://user:password@host:port,…?tls=true`.
 * @returns `undefined` for any other text
 */
export function readTopology(url: string): Topology | undefined {
  if (/^rediss?:\/\//.test(url)) return readSingle(url);
  const parts = SEVERAL.exec(url);
  if (!parts) return undefined;
  const [, kind, username = '', password = '', hosts = '', path = '', query = ''] = parts;
  const nodes = hosts.split(',').map((host) => readAddress(host, kind === 'sentinel' ? SENTINEL_PORT : CLUSTER_PORT));
  const name = decoded(path);
  const options = readQuery(query, kind === 'sentinel' ? ['tls', 'sentinelPassword'] : ['tls']);
  const access = { username: decoded(username), password: decoded(password), tls: options?.get('tls') === 'true' };
  if (!options || !isComplete(nodes) || !isComplete([access.username, access.password])) return undefined;
  if (kind === 'cluster') return path === '' ? { kind, nodes, ...(access as Access) } : undefined;
  if (!name) return undefined;
  const sentinelPassword = options.get('sentinelPassword') ?? '';
  return { kind: 'sentinel', sentinels: nodes, name, sentinelPassword, ...(access as Access) };
}

/** The credentials in the form that ioredis takes. */
export function credentialsOf(topology: Topology) {
  if (topology.kind === 'single') {
    const { username, password } = new URL(topology.url);
    return { username: decodeURIComponent(username) || undefined, password: decodeURIComponent(password) || undefined };
  }
  const { username, password } = topology;
  const credentials = { username: username || undefined, password: password || undefined };
  if (topology.kind === 'cluster') return credentials;
  return { ...credentials, sentinelPassword: topology.sentinelPassword || undefined };
}

/** Whether two valid URLs differ in user and password at most. */
export function hasSameServers(oneUrl: string, otherUrl: string): boolean {
  const [one, other] = [oneUrl, otherUrl].map((url) => {
    const topology = readTopology(url);
    if (topology?.kind !== 'single') return { ...topology, username: '', password: '', sentinelPassword: '' };
    return Object.assign(new URL(topology.url), { username: '', password: '' }).href;
  });
  return isDeepStrictEqual(one, other);
}

function readSingle(url: string): SingleTopology | undefined {
  if (!URL.canParse(url)) return undefined;
  const { hostname, pathname, username, password, search, hash } = new URL(url);
  // Every other parameter would replace an option of the broker, `tls` with any value.
  const isValid =
    hostname !== '' && /^(\/\d{0,5})?$/.test(pathname) && /^(\?family=[046])?$/.test(search) && hash === '';
  return isValid && isComplete([decoded(username), decoded(password)]) ? { kind: 'single', url } : undefined;
}

function readAddress(text: string, defaultPort: number): Address | undefined {
  const url = `redis://${text}`;
  if (!URL.canParse(url)) return undefined;
  const { hostname, port } = new URL(url);
  if (hostname === '' || port === '0') return undefined;
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? defaultPort : Number(port) };
}

/** `undefined` with a parameter that is not in `names`, one twice, or another value of `tls` than true or false. */
function readQuery(query: string, names: readonly string[]): URLSearchParams | undefined {
  const options = new URLSearchParams(query);
  const isKnown = [...options.keys()].every((name) => names.includes(name) && options.getAll(name).length === 1);
  return isKnown && /^(true|false)$/.test(options.get('tls') ?? 'false') ? options : undefined;
}

/** `undefined` when the percent-encoding is broken. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function isComplete<T>(values: readonly (T | undefined)[]): values is readonly T[] {
  return values.every((value) => value !== undefined);
}
