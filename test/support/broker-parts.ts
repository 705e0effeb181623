import { AccessIds } from '../../src/broker/access-ids.ts';
import { Accounts } from '../../src/broker/accounts.ts';
import { LoginLimits } from '../../src/broker/login-limits.ts';
import { RefreshWorker } from '../../src/broker/refresh-worker.ts';
import { Renewal } from '../../src/broker/renewal.ts';
import type { Renewed } from '../../src/broker/requests.ts';
import { TokenBroker } from '../../src/broker/token-broker.ts';
import { TokenCache } from '../../src/broker/token-cache.ts';
import { WriteBack } from '../../src/broker/write-back.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { type Clock, systemClock } from '../../src/token/clock.ts';
import type { Log } from '../../src/token/log.ts';
import { type Observer, silentObserver } from '../../src/token/observer.ts';
import type { TokenStore, VendorLogin } from '../../src/token/ports.ts';
import { LEASE_MS, type RefreshPolicy } from '../../src/token/renewal-timing.ts';
import type { SubjectId } from '../../src/token/subject.ts';
import { noTracer } from '../../src/token/tracer.ts';
import { makeDue } from './make-due.ts';
import { ScriptedLogin } from './scripted-login.ts';

const silentLog = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export const PROACTIVE: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };

interface BrokerPartsOptions<Vendor extends VendorLogin> {
  readonly clock?: Clock;
  readonly store?: TokenStore;
  readonly policy?: RefreshPolicy;
  readonly loginBudgetMs?: number;
  /** Maximum logins and logouts of an account per hour, 20 at once. 0, the default, means no limit. */
  readonly perHour?: number;
  /** Default: a {@link ScriptedLogin}. */
  readonly vendor?: Vendor;
  readonly observer?: Observer;
  readonly log?: Log;
}

/** Creates the broker and the worker of one replica, without HTTP. Default store: in memory. */
export function brokerParts<Vendor extends VendorLogin = ScriptedLogin>(options: BrokerPartsOptions<Vendor> = {}) {
  const { clock = systemClock, policy = PROACTIVE, loginBudgetMs = 5_000, perHour = 0 } = options;
  const { store = createMemoryStore({ clock, terminalsPerAccount: 20 }) } = options;
  // Without `vendor`, nothing can give the type parameter another type than its default.
  const vendor = options.vendor ?? (new ScriptedLogin(clock) as VendorLogin as Vendor);
  const { observer = silentObserver, log = silentLog } = options;
  const { terminals, dueQueue, announcements, health } = store;
  const cache = new TokenCache({
    announcements,
    clock,
    maxBytes: 2 ** 20,
    policy,
  });
  const limits = new LoginLimits({ rates: store.rateLimiter, perHour, burst: 20, log, observer });
  const { accounts: accountStore } = store;
  const writeBack = new WriteBack({
    terminals,
    accounts: accountStore,
    health,
    cache,
    policy,
    clock,
    log,
    observer,
  });
  const renewal = new Renewal({
    terminals,
    accounts: store.accounts,
    announcements,
    vendor,
    cache,
    limits,
    writeBack,
    policy,
    clock,
    log,
    observer,
    tracer: noTracer,
    loginBudgetMs,
  });
  const broker = new TokenBroker({
    terminals,
    cache,
    renewal,
    writeBack,
    policy,
    clock,
    log,
    observer,
    defaultRegion: undefined,
  });
  const worker = new RefreshWorker({ dueQueue, announcements, renewal, policy, clock, log, observer });
  const accounts = new Accounts(store.accounts, terminals, cache, limits);
  const accessIds = new AccessIds({
    terminals,
    accounts: store.accounts,
    announcements,
    vendor,
    limits,
    clock,
    log,
    loginBudgetMs,
    defaultRegion: undefined,
  });
  /** Makes the token due now, and renews it like the worker. */
  const renewInBackground = async (id: SubjectId): Promise<Renewed> => {
    await makeDue(store, id, clock.now());
    const { claims } = await dueQueue.claim(1_000, LEASE_MS);
    const claim = claims.find(({ lease }) => lease.id === id);
    if (!claim) throw new Error('the due token could not be claimed');
    return renewal.renewClaimed(claim, clock.monotonic());
  };
  return { store, vendor, cache, writeBack, renewal, broker, worker, accounts, accessIds, renewInBackground };
}
