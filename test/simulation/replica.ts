import type { AccessIds } from '../../src/broker/access-ids.ts';
import type { Accounts } from '../../src/broker/accounts.ts';
import { type Broker, createBroker } from '../../src/broker/create-broker.ts';
import { createReadiness } from '../../src/broker/readiness.ts';
import type { TokenBroker } from '../../src/broker/token-broker.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { questionQueue } from '../../src/session/session-server.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { type Clock, withTimeout } from '../../src/token/clock.ts';
import type { Log } from '../../src/token/log.ts';
import { loginBudget } from '../../src/token/login-queue.ts';
import type { RefreshPolicy } from '../../src/token/renewal-timing.ts';
import { noTracer } from '../../src/token/tracer.ts';
import { createVendorLogin } from '../../src/vendor-api/login.ts';
import { silentObserver } from '../support/silent-observer.ts';
import type { CloudModel } from './cloud-model.ts';
import { type Network, StoreConnection } from './store-connection.ts';
import type { StoreServer } from './store-server.ts';
import type { VendorModel } from './vendor-model.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';

const POLICY: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };
/** As in service.ts. */
const DRAIN_MS = 9_000;
const CACHE_BYTES = 2 ** 20;
/** As by default, in the modes that ask a server. */
const SESSIONS = { cacheSeconds: 30, refusalMs: 2_000, isCheckLocal: false, maxBytes: CACHE_BYTES };
const APP = { name: 'default', appId: 'app', appToken: 'app-token', appKey: 'app-key', accessId: 'app' };

export interface ReplicaOptions {
  readonly number: number;
  readonly time: VirtualTime;
  readonly server: StoreServer;
  readonly vendor: VendorModel;
  readonly cloud: CloudModel;
  readonly network: Network;
  /** The replica's wall clock minus the virtual time. */
  readonly skewMs: number;
  readonly vendorTimeoutMs: number;
  readonly maxLoginsPerSecond: number;
  readonly onLog: (replica: string, message: string) => void;
}

/** One replica: every real part of the broker, on a virtual clock, a modelled network and a modelled vendor. */
export class Replica {
  readonly number: number;
  readonly name: string;
  readonly process: VirtualProcess;
  readonly clock: Clock;
  readonly connection: StoreConnection;
  readonly sessions: SessionCache;
  readonly broker: TokenBroker;
  readonly accounts: Accounts;
  readonly accessIds: AccessIds;
  /** Before that, `GET /readyz` keeps apps away. */
  isReady = false;
  readonly #readiness: ReturnType<typeof createReadiness>;
  readonly #parts: Broker;

  constructor(options: ReplicaOptions) {
    const { number, time, server, vendor, cloud, network, skewMs, vendorTimeoutMs, onLog } = options;
    const name = `replica ${number}`;
    this.number = number;
    this.name = name;
    this.process = { number, alive: true, frozenUntil: 0, clockOffsetMs: skewMs };
    const clock = time.clockOf(this.process);
    this.clock = clock;
    const write = (_fields: object, message: string) => onLog(name, message);
    const log: Log = { debug: () => undefined, info: write, warn: write, error: write };
    this.connection = new StoreConnection({ server, time, process: this.process, clock, network, log });
    const { store } = this.connection;
    const observer = silentObserver;
    const issuer = createVendorLogin({
      baseUrl: new URL('http://vendor.test/'),
      regionUrls: new Map(),
      apps: () => new Map([[APP.name, APP]]),
      timeoutMs: vendorTimeoutMs,
      queue: store.loginQueue,
      openOwnQueue: async () => createMemoryStore({ clock, terminalsPerAccount: 1 }).loginQueue,
      rates: store.rateLimiter,
      maxPerSecond: options.maxLoginsPerSecond,
      clock,
      log,
      observer,
      tracer: noTracer,
      transport: vendor.transportFor(this.process, clock),
    });
    const { announcements } = store;
    const schedule = questionQueue(clock);
    const environment = { ...SESSIONS, schedule, clock, observer, announcements };
    this.sessions = new SessionCache(cloud.verifierFor(this.process), environment);
    this.#parts = createBroker({
      store,
      vendor: issuer,
      policy: POLICY,
      clock,
      log,
      observer,
      tracer: noTracer,
      loginBudgetMs: loginBudget(vendorTimeoutMs),
      defaultRegion: undefined,
      cacheMaxBytes: CACHE_BYTES,
      sessions: this.sessions,
      loginsPerHour: 0,
      loginBurst: 1,
    });
    this.broker = this.#parts.tokens;
    this.accounts = this.#parts.accounts;
    this.accessIds = this.#parts.accessIds;
    this.#parts.worker.start();
    this.#readiness = createReadiness(store.health, clock);
    void this.#readiness.start().then(() => {
      this.isReady = true;
    });
  }

  /** Ends at once, as `kill -9` does. */
  crash(): void {
    this.process.alive = false;
  }

  /** Stops as SIGTERM does: waits for its renewals and for `reads`, and releases the leases that are left. */
  async stop(reads: Promise<void>): Promise<void> {
    this.#readiness.stop();
    const drainUntil = this.clock.monotonic() + DRAIN_MS;
    await withTimeout(this.clock, DRAIN_MS, Promise.all([this.#parts.worker.stop(), reads]));
    await this.#parts.settle(Math.max(0, drainUntil - this.clock.monotonic()));
    await this.connection.store.close();
  }
}
