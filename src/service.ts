import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { Renewal } from './broker/renewal.ts';
import { TokenBroker } from './broker/token-broker.ts';
import { TokenCache } from './broker/token-cache.ts';
import { within } from './broker/within.ts';
import type { Config } from './config/config.ts';
import { createPublicApp } from './http/public-app.ts';
import { RefreshWorker } from './refresh/refresh-worker.ts';
import { JwtVerifier } from './session/jwt-verifier.ts';
import { SessionCache } from './session/session-cache.ts';
import { MemoryTokenStore } from './store/memory/memory-token-store.ts';
import { RedisTokenStore } from './store/redis/redis-token-store.ts';
import { type Clock, systemClock } from './token/clock.ts';
import type { TokenStore } from './token/ports.ts';
import { refreshAt } from './token/refresh-policy.ts';
import { VendorIssuer } from './vendor/issuer.ts';

/** A login may take one attempt and half of another in all. */
const BUDGET_IN_ATTEMPTS = 1.5;
/** Most ms that requests in flight are given at the end; what is left of the promised 10 s closes the connections. */
const DRAIN_MS = 9_000;

export interface Service {
  /** Of the public API. */
  readonly url: string;
  /** Takes nothing new, answers what is in flight within 10 s, gives leases back, closes every connection. Idempotent. */
  close(): Promise<void>;
}

/** Builds the service and listens. @throws Error when an address is taken or a session key cannot be used */
export async function startService(config: Config, log: Logger, version: string): Promise<Service> {
  const clock = systemClock;
  const { refresh: policy, defaultRegion } = config;
  const session = new JwtVerifier({ ...config.session, clock });
  const sessions = new SessionCache(session, { cacheSeconds: config.session.cacheSeconds, clock });
  const vendor = new VendorIssuer({ ...config.vendor, clock, log });
  const store = openStore(config, clock, log);
  const cache = new TokenCache({
    store,
    clock,
    maxBytes: config.cacheMaxBytes,
    freshUntil: (record) => refreshAt(record, policy),
  });
  const loginBudgetMs = config.vendor.timeoutMs * BUDGET_IN_ATTEMPTS;
  const renewal = new Renewal({ store, vendor, cache, policy, clock, log, loginBudgetMs });
  const tokens = new TokenBroker({ store, cache, renewal, policy, clock, log, defaultRegion });
  const worker = new RefreshWorker({ store, renewal, policy, clock, log });
  let closing = false;
  const app = await createPublicApp({
    tokens,
    sessions,
    apps: [...config.vendor.apps.keys()],
    readiness: () => readinessOf(store),
    closing: () => closing,
    logger: log,
    apiDocs: config.http.apiDocs,
    trustProxy: config.http.trustProxy,
    version,
  });

  const end = async (): Promise<void> => {
    closing = true;
    await within(DRAIN_MS, Promise.all([worker.stop(), app.close()]));
    await renewal.settle(0);
    await Promise.all([vendor.close(), store.close()]);
  };
  let ended: Promise<void> | undefined;
  const close = (): Promise<void> => {
    ended ??= end();
    return ended;
  };
  try {
    await app.listen({ host: config.http.host, port: config.http.port });
  } catch (error) {
    await close();
    throw error;
  }
  worker.start();
  const { address, family, port } = app.server.address() as AddressInfo;
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`, close };
}

function openStore({ redis }: Config, clock: Clock, log: Logger): TokenStore {
  if (redis) return new RedisTokenStore({ ...redis, clock, log });
  log.warn({}, 'REDIS_URL is not set: tokens are kept in this process alone, so run one replica of it');
  return new MemoryTokenStore(clock);
}

async function readinessOf(store: TokenStore) {
  try {
    await store.ping();
    return { ready: true, checks: { store: 'ok' } };
  } catch {
    return { ready: false, checks: { store: 'unreachable' } };
  }
}
