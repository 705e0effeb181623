import { hostname, totalmem } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import type { Logger } from 'pino';
import { createBroker } from './broker/create-broker.ts';
import { createReadiness } from './broker/readiness.ts';
import type { Config } from './config/config.ts';
import { ConfigError, keyRingOf } from './config/environment.ts';
import { AdminTokens } from './http/admin-access.ts';
import { createInternalApp } from './http/internal-app.ts';
import { createPublicApp } from './http/public-app.ts';
import { LogSampler } from './http/refusal-log.ts';
import { listenOn } from './http/server/server.ts';
import { createStatus } from './http/status.ts';
import { lostLogLines } from './logger.ts';
import { agentOpener } from './proxies.ts';
import { SessionConnections, userAgentOf } from './session/session-server.ts';
import { acceptanceRisks, createSessionVerifier, serverUrl, verifierFor } from './session/session-verifier.ts';
import { hasSameServers } from './store/redis/connection/topology.ts';
import { createRedisStore, type RedisStore } from './store/redis/redis-store.ts';
import { Certificates } from './telemetry/certificates.ts';
import { Fleet } from './telemetry/fleet.ts';
import { countingObserver, countsByMinute, recentCounts } from './telemetry/last-hour.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { tracedLogin, tracedObserver, tracedSessions, tracedStore } from './telemetry/traced-ports.ts';
import type { Tracing } from './telemetry/tracing.ts';
import { type Clock, sleep, systemClock, withTimeout } from './token/clock.ts';
import { ContactHistory } from './token/contact-history.ts';
import type { Log } from './token/log.ts';
import { loginBudget } from './token/login-queue.ts';
import type { Observer } from './token/observer.ts';
import type { TokenStore } from './token/ports.ts';
import { refreshAt } from './token/renewal-timing.ts';
import { noTracer } from './token/tracer.ts';
import { POSSIBLE_RESULTS } from './vendor-api/answer.ts';
import { VendorClient } from './vendor-api/client.ts';
import { createVendorLogin } from './vendor-api/login.ts';

/** At shutdown, running requests and renewals get this long. The rest of the promised 10 s closes connections. */
const DRAIN_MS = 9_000;

/** New connections are accepted for this long after shutdown begins: load balancers learn late that a replica ends. */
const ACCEPT_MS = 1_000;

/** In an outage, each request and each renewal would write the same line. There is one of a kind in this time. */
const OUTAGE_LINE_MS = 10_000;

const MIB = 2 ** 20;
/** Heap of a replica with empty caches. */
const HEAP_BASE_BYTES = 24 * MIB;
/** Memory of a replica outside its heap: code, stacks, buffers of sockets. */
const OUTSIDE_HEAP_BYTES = 64 * MIB;
/** Maximum size of one of V8's three semi-spaces for new objects. Default: 64 MiB from Node 24 on, 16 MiB before. */
const SEMI_SPACE_BYTES = semiSpaceMib(process.execArgv, process.versions.node) * MIB;

/** The parts of the configuration that hold secrets. A new value of one needs no restart. */
export const REPLACED_PARTS = [
  'admin',
  'vendor',
  'session',
  'redis',
  'tracing',
] as const satisfies readonly (keyof Config)[];

export interface Service {
  /** URL of the public API; empty if the service was stopped before it opened a port. */
  readonly url: string;
  /** URL of the internal API; empty in the same case. */
  readonly adminUrl: string;
  /** Resolves when `/readyz` answers 200 for the first time, or when the service closes. */
  readonly ready: Promise<void>;
  /**
   * Reads the configuration again and uses its secrets: all or, if it throws, none. Only secrets may differ.
   * @returns the parts that changed
   * @throws ConfigError if apps or Redis servers differ; the error of `read`
   */
  reloadSecrets(read: () => Config): readonly string[];
  /** Shuts down within 10 s: refuses new requests, answers running ones, releases leases, disconnects. Idempotent. */
  close(): Promise<void>;
}

/**
 * @param tracing is stopped with the service. Without it, no port is wrapped
 * @param stop once it is aborted, no port is opened: the caller closes the service as soon as it has started
 * @throws Error when an address is in use
 */
export async function startService(
  config: Config,
  logger: Logger,
  version: string,
  tracing?: Tracing,
  stop?: AbortSignal,
): Promise<Service> {
  const clock = systemClock;
  /** Changes when the secrets are read again. */
  let current = config;
  const lines = new LogSampler(OUTAGE_LINE_MS, clock);
  const log = sampledLog(logger, lines);
  const metrics = createMetrics({ version, vendorResults: POSSIBLE_RESULTS, lostLogLines });
  const counts = countsByMinute(clock);
  const counted = countingObserver(metrics.observer, counts);
  const tracer = tracing ?? noTracer;
  const observer = tracing ? tracedObserver(counted, (facts) => tracing.note(facts)) : counted;
  const { refresh: policy, defaultRegion, terminalPolicy, requestsPerMinute, http, admin } = config;
  const certificates = new Certificates(clock);
  const redisStore = openRedis(config, clock, log, observer);
  const plainStore = redisStore ?? (await openMemoryStore(config, clock, log));
  const store = tracing ? tracedStore(plainStore, tracing, redisStore && 'redis') : plainStore;
  const bounds = memoryBounds(config.cacheMaxBytes, log);
  const sessionServer = new ContactHistory(clock);
  const userAgent = userAgentOf(version);
  const openAgent = agentOpener(config.proxies);
  const access = { clock, userAgent, contact: sessionServer, connections: new SessionConnections(openAgent) };
  const { announcements, loginQueue: queue, rateLimiter: rates } = store;
  const believed = { maxBytes: bounds.sessionBytes, observer, announcements };
  const sessions = createSessionVerifier(config.session, { ...access, ...believed });
  for (const { risk } of acceptanceRisks(config.session)) log.warn({}, risk.en);
  const transport = new VendorClient({ clock, connectTimeoutMs: config.vendor.timeoutMs, userAgent, openAgent });
  const vendor = createVendorLogin({
    ...config.vendor,
    apps: () => current.vendor.apps,
    transport,
    queue,
    openOwnQueue: async () => (await openMemoryStore(config, clock, log)).loginQueue,
    rates,
    clock,
    log,
    observer,
    tracer,
  });
  const broker = createBroker({
    store,
    vendor: tracing ? tracedLogin(vendor, tracing) : vendor,
    sessions,
    policy,
    clock,
    log,
    observer,
    tracer,
    loginBudgetMs: loginBudget(config.vendor.timeoutMs),
    defaultRegion,
    cacheMaxBytes: bounds.tokenBytes,
    loginsPerHour: config.loginsPerHour,
    loginBurst: config.terminalsPerAccount,
  });
  const { tokens, accounts, accessIds, cache, worker } = broker;
  const readiness = createReadiness(store.health, clock);
  const replica = hostname();
  const sessionContact = serverUrl(config.session) && sessionServer;
  const fleet = new Fleet({
    clock,
    log: logger,
    summaries: store.replicas,
    replica,
    version,
    configuration: () => current.digest,
    keyRing: () => current.redis && keyRingOf(current.redis.encryptionKeys),
    facts: () => ({
      now: clock.now(),
      monotonic: clock.monotonic(),
      ...recentCounts(counts),
      redis: redisStore && {
        outage: redisStore.outage(),
        refusedWrites: redisStore.refusedWrites(),
        losses: redisStore.losses(),
      },
      vendorDomains: vendor.domains(),
      sessionServer: sessionContact,
      certificates: certificates.seen(),
      clockOffsetMs: redisStore?.clockOffsetMs(),
    }),
  });
  const status = createStatus({
    version,
    replica,
    clock,
    store,
    loginsPerSecond: config.vendor.maxPerSecond,
    loginsSentPerSecond: () => counts.loginsSent.perSecond('login'),
    cache: cache.tokens,
    vendorDomains: vendor.domains,
    redis: redisStore,
    encryptionKeys: () => current.redis?.encryptionKeys.map(({ id }) => id) ?? [],
    sessions: { mode: config.session.mode, server: sessionContact },
    fleet,
    counts,
  });
  metrics.watch({
    cache: cache.tokens,
    configuration: () => current.digest,
    findings: status.findings,
    vendorDomains: vendor.domains,
  });
  const adminTokens = new AdminTokens(admin.tokens);
  const closing = new AbortController();
  const common = {
    tokens,
    accounts,
    apps: [...config.vendor.apps.keys()],
    terminalPolicy,
    readiness: () => readiness.report(),
    closing: closing.signal,
    logger,
    tracer: tracing,
  };
  const publicApp = await createPublicApp({
    ...common,
    sessions: tracing ? tracedSessions(sessions, tracing) : sessions,
    forwardedSession: config.forwardedSession,
    readsPerMinute: requestsPerMinute,
    observer,
    onRefusal: (code) => {
      counts.failedRequests.add(code);
      tracing?.note({ 'error.type': code });
    },
    apiDocs: http.apiDocs,
  });
  const internalApp = await createInternalApp({
    ...common,
    accountStore: store.accounts,
    accessIds,
    hostNames: admin.hostNames,
    adminTokens,
    observer,
    onRefusal: (code) => tracing?.note({ 'error.type': code }),
    refreshAt: (record) => refreshAt(record, policy),
    terminalLimit: config.terminalsPerAccount,
    status: status.report,
    metrics: metrics.scrape,
  });

  const replaceSecrets = (next: Config): readonly string[] => {
    const problems = fixedDifferences(current, next);
    if (problems.length > 0) throw new ConfigError(problems);
    const changed = REPLACED_PARTS.filter((part) => !isDeepStrictEqual(current[part], next[part]));
    // Nothing below may throw after the first change. A new verifier would fetch the JWKS again, so keep an equal one.
    if (changed.includes('session')) sessions.useVerifier(verifierFor(next.session, access));
    adminTokens.replace(next.admin.tokens);
    if (next.redis) redisStore?.useSecrets(next.redis);
    if (changed.includes('redis')) {
      warnIfUnencrypted(next, log);
      void reportUnreadable(redisStore, next, log);
    }
    if (next.tracing) tracing?.useHeaders(next.tracing.headers);
    current = next;
    return changed;
  };
  const reloadSecrets = (read: () => Config): readonly string[] => {
    try {
      const changed = replaceSecrets(read());
      observer.secretsReloaded(true);
      return changed;
    } catch (error) {
      observer.secretsReloaded(false);
      throw error;
    }
  };

  const end = async (): Promise<void> => {
    closing.abort();
    readiness.stop();
    vendor.stopRetrying();
    const drainUntil = clock.monotonic() + DRAIN_MS;
    const stopServing = async (): Promise<void> => {
      if (publicApp.server.listening) await sleep(clock, ACCEPT_MS);
      await Promise.all([publicApp.close(), internalApp.close()]);
    };
    await withTimeout(clock, DRAIN_MS, Promise.all([worker.stop(), stopServing()]));
    // A login that was sent is not cut off, although its caller may have disconnected.
    await broker.settle(Math.max(0, drainUntil - clock.monotonic()));
    await fleet.stop();
    await Promise.all([transport.close(), store.close(), certificates.stop(), tracing?.stop()]);
    lines.end();
  };
  let ended: Promise<void> | undefined;
  const close = (): Promise<void> => {
    ended ??= end();
    return ended;
  };
  try {
    // A proxy without health checks sends requests as soon as the port is open. Before the connection to the store is
    // open, they would log in without a lease. The wait has a bound, and a store that is down ends it.
    await readiness.report();
    await reportUnreadable(redisStore, current, log);
    const url = stop?.aborted ? '' : await listenOn(publicApp, http, 'HOST and PORT');
    const adminUrl = url && (await listenOn(internalApp, admin, 'ADMIN_HOST and ADMIN_PORT'));
    const ready = readiness.start();
    // Without the store there is nothing to claim.
    void ready.then(() => {
      worker.start();
      fleet.start();
    });
    return { url, adminUrl, ready, reloadSecrets, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One line of a kind per interval, with the number of others: at `warn`, `error`, and about connections to Redis. */
export function sampledLog(log: Logger, lines: LogSampler): Log {
  const at = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    const { host, role, node }: { host?: string; role?: string; node?: string } = fields;
    lines.add([message, host, role, node].join(' '), (sampled) => log[level]({ ...fields, ...sampled }, message));
  };
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => ('role' in fields ? at('info')(fields, message) : log.info(fields, message)),
    warn: at('warn'),
    error: at('error'),
  };
}

function semiSpaceMib(execArgv: readonly string[], nodeVersion: string): number {
  const given = execArgv.map((flag) => /^--max[-_]semi[-_]space[-_]size=(\d+)$/.exec(flag)?.[1]).findLast(Boolean);
  return Number(given ?? (Number.parseInt(nodeVersion, 10) >= 24 ? 64 : 16));
}

/**
 * Bounds of what a replica keeps in the heap, smaller where the container, the machine or the heap could not hold it:
 * V8 ends a process whose heap is full. Measured: a session takes up to twice its counted bytes.
 */
function memoryBounds(tokenBytes: number, log: Log) {
  const systemBytes = Math.min(process.constrainedMemory() || Infinity, totalmem()) - OUTSIDE_HEAP_BYTES;
  const heapBytes = Math.min(getHeapStatistics().heap_size_limit, systemBytes);
  const freeBytes = Math.max(8 * MIB, heapBytes - 3 * SEMI_SPACE_BYTES - HEAP_BASE_BYTES);
  const bounds = {
    tokenBytes: Math.min(tokenBytes, Math.floor(0.3 * freeBytes)),
    sessionBytes: Math.min(16 * MIB, Math.floor(0.1 * freeBytes)),
  };
  if (bounds.tokenBytes < tokenBytes) {
    const allowedMb = Math.floor(bounds.tokenBytes / MIB);
    log.warn(
      { allowedMb },
      'CACHE_MAX_MB is too large for this machine, container or heap: fewer tokens are kept in memory',
    );
  }
  return bounds;
}

function openRedis(config: Config, clock: Clock, log: Log, observer: Observer): RedisStore | undefined {
  const { redis, terminalsPerAccount } = config;
  if (!redis) {
    log.warn({}, 'REDIS_URL is not set: tokens are kept in this process only, so run a single replica');
    return undefined;
  }
  warnIfUnencrypted(config, log);
  return createRedisStore({ ...redis, terminalsPerAccount, clock, log, observer });
}

/** Only loaded where it is used: its Lua takes memory, and time at the start. */
async function openMemoryStore({ terminalsPerAccount }: Config, clock: Clock, log: Log): Promise<TokenStore> {
  const { createMemoryStore } = await import('./store/memory/memory-store.ts');
  return createMemoryStore({ clock, terminalsPerAccount, log });
}

function warnIfUnencrypted({ redis }: Config, log: Log): void {
  if (redis?.encryptionKeys.length !== 0) return;
  log.warn({}, 'TOKEN_ENCRYPTION_KEYS has no key: everyone who can read Redis can read the SDK tokens');
}

/** Never throws. */
async function reportUnreadable(store: RedisStore | undefined, { redis }: Config, log: Log): Promise<void> {
  const { lookedAt = 0, inTheClear = 0, unreadable = 0, keyIds = [] } = (await store?.sample()) ?? {};
  if (lookedAt === 0 || inTheClear + unreadable < lookedAt) return;
  const needed = [...keyIds, ...(inTheClear > 0 ? ['off'] : [])];
  log.error(
    { lookedAt, keys: redis?.encryptionKeys.map(({ id }) => id), needed },
    'this replica can read none of the stored tokens that it has looked at, so each costs it a login: append the needed ' +
      'keys to TOKEN_ENCRYPTION_KEYS, docs/key-rotation.md#what-no-key-opens',
  );
}

/** Differences that need a restart, although they are in settings that hold secrets. */
function fixedDifferences(before: Config, after: Config): string[] {
  const problems: string[] = [];
  if (!isDeepStrictEqual([...before.vendor.apps.keys()], [...after.vendor.apps.keys()])) {
    problems.push('VENDOR_APPS: only a restart can add, remove, rename or reorder apps');
  }
  if (before.redis && after.redis && !hasSameServers(before.redis.url, after.redis.url)) {
    problems.push('REDIS_URL: only the user and the password can change without a restart');
  }
  return problems;
}
