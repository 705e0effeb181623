import { BlockList, isIP } from 'node:net';
import { Agent, type buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici';

/** The ways out that the settings name. */
export interface Proxies {
  /** For `https:` URLs, each by a tunnel (CONNECT). It may have a user and a password. */
  readonly HTTPS_PROXY: URL | undefined;
  /** For `http:` URLs: it forwards the requests. */
  readonly HTTP_PROXY: URL | undefined;
  /** Names, addresses and networks without a proxy, in lower case. `*` alone: all. */
  readonly NO_PROXY: readonly string[];
}

/** A proxy, and the setting that names it. */
export interface Proxy {
  readonly setting: 'HTTPS_PROXY' | 'HTTP_PROXY';
  readonly url: URL;
}

/** By the rules of curl. undici's own agent takes `HTTP_PROXY` for `https:` too, and no networks in `NO_PROXY`. */
export function proxyFor({ protocol, hostname }: URL, proxies: Proxies): Proxy | undefined {
  const setting = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const url = proxies[setting];
  return url && !needsNone(hostname, proxies.NO_PROXY) ? { setting, url } : undefined;
}

function needsNone(hostname: string, entries: readonly string[]): boolean {
  if (entries.includes('*')) return true;
  const host = hostname.replace(/^\[|\]$|\.$/g, '');
  const family = isIP(host);
  if (family === 0) return entries.some((name) => host === name || host.endsWith(`.${name}`));
  const networks = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const ofFamily = isIP(address);
    if (ofFamily === 0) continue;
    networks.addSubnet(address, Number(bits ?? (ofFamily === 4 ? 32 : 128)), `ipv${ofFamily as 4 | 6}`);
  }
  return networks.check(host, `ipv${family as 4 | 6}`);
}

/** Makes the connections to other servers, as undici's options for an agent say. */
export type OpenAgent = (options: Agent.Options) => Agent;

/** Connections through these proxies. Each option also holds for the connections through a proxy. */
export function agentOpener(proxies: Proxies): OpenAgent {
  return ({ factory = openPool, ...options }) =>
    new Agent({
      ...options,
      factory: (origin, ofOrigin) => {
        const proxy = proxyFor(new URL(origin), proxies);
        return proxy ? through(proxy.url, options, factory) : factory(origin, ofOrigin);
      },
    });
}

function openPool(origin: string | URL, options: Pool.Options): Dispatcher {
  return new Pool(origin, options);
}

/** As undici for other connections. */
const CONNECT_TIMEOUT_MS = 10_000;

function through(proxy: URL, options: Pool.Options, open: typeof openPool): Dispatcher {
  const { connectTimeout: timeout = CONNECT_TIMEOUT_MS } = options;
  return new ProxyAgent({
    ...options,
    uri: proxy.href,
    // As curl: many proxies open tunnels to the port of https: only.
    proxyTunnel: false,
    proxyTls: { timeout },
    requestTls: { timeout },
    clientFactory: (origin, ofOrigin) => new Pool(origin, { ...ofOrigin, headersTimeout: timeout }),
    factory: (origin, ofOrigin: { readonly connect: buildConnector.connector }) =>
      open(origin, { ...options, ...ofOrigin, connect: namingProxy(ofOrigin.connect) }),
  });
}

/** The errors of a connection to the proxy get a code that says so, such as `PROXY_ECONNREFUSED` or `PROXY_407`. */
function namingProxy(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error === null) callback(null, socket);
      else callback(named(error), null);
    });
}

/** The name or the address of the server itself is only known to the proxy. */
const OF_PROXY = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/;

function named(error: Error): Error {
  const [, refusal] = /^Proxy response \((\d{3})\)/.exec(error.message) ?? [];
  const [code = refusal] = OF_PROXY.exec('code' in error ? String(error.code) : '') ?? [];
  return code === undefined ? error : Object.assign(error, { code: `PROXY_${code}` });
}
