import { createBroker } from '../../src/broker/create-broker.ts';
import type { Renewed } from '../../src/broker/requests.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { type Clock, systemClock } from '../../src/token/clock.ts';
import type { Log } from '../../src/token/log.ts';
import type { Observer } from '../../src/token/observer.ts';
import type { TokenStore, VendorLogin } from '../../src/token/ports.ts';
import type { RefreshPolicy } from '../../src/token/renewal-timing.ts';
import type { SubjectId } from '../../src/token/subject.ts';
import { noTracer, type Tracer } from '../../src/token/tracer.ts';
import { makeDue } from './make-due.ts';
import { ScriptedLogin } from './scripted-login.ts';
import { silentObserver } from './silent-observer.ts';

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
  readonly tracer?: Tracer;
  readonly log?: Log;
}

/** Creates the broker and the worker of one replica, without HTTP. Default store: in memory. */
export function brokerParts<Vendor extends VendorLogin = ScriptedLogin>(options: BrokerPartsOptions<Vendor> = {}) {
  const { clock = systemClock, policy = PROACTIVE, loginBudgetMs = 5_000, perHour = 0 } = options;
  const { store = createMemoryStore({ clock, terminalsPerAccount: 20 }) } = options;
  // Without `vendor`, nothing can give the type parameter another type than its default.
  const vendor = options.vendor ?? (new ScriptedLogin(clock) as VendorLogin as Vendor);
  const { observer = silentObserver, log = silentLog, tracer = noTracer } = options;
  const { tokens: broker, ...parts } = createBroker({
    store,
    vendor,
    policy,
    clock,
    log,
    observer,
    tracer,
    loginBudgetMs,
    defaultRegion: undefined,
    cacheMaxBytes: 2 ** 20,
    loginsPerHour: perHour,
    loginBurst: 20,
  });
  /** Makes the token due now, and renews it without an app, whatever the policy says about its due time. */
  const renewInBackground = async (id: SubjectId): Promise<Renewed> => {
    await makeDue(store, id, clock.now());
    const { record } = await store.terminals.read(id);
    if (!record) throw new Error('there is no token to renew');
    return parts.renewal.renew({
      id,
      subject: record.subject,
      region: undefined,
      known: record,
      cause: 'background',
      urgency: 'background',
      sessionIssuedAt: undefined,
      satisfies: ({ generation, suspect }) => generation > record.generation && !suspect,
    });
  };
  return { ...parts, store, vendor, broker, renewInBackground };
}
