import { Renewal } from '../../src/broker/renewal.ts';
import { TokenBroker } from '../../src/broker/token-broker.ts';
import { TokenCache } from '../../src/broker/token-cache.ts';
import { RefreshWorker } from '../../src/refresh/refresh-worker.ts';
import { MemoryTokenStore } from '../../src/store/memory/memory-token-store.ts';
import { type Clock, systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import { type RefreshPolicy, refreshAt } from '../../src/token/refresh-policy.ts';
import { ScriptedLogin } from './scripted-login.ts';

const silentLog = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export const PROACTIVE: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };

interface BrokerPartsOptions {
  readonly clock?: Clock;
  readonly store?: TokenStore;
  readonly policy?: RefreshPolicy;
  readonly loginBudgetMs?: number;
  readonly vendor?: ScriptedLogin;
}

/** One replica's broker and worker without HTTP, on a store in this process unless given another. */
export function brokerParts(options: BrokerPartsOptions = {}) {
  const { clock = systemClock, policy = PROACTIVE, loginBudgetMs = 5_000 } = options;
  const { store = new MemoryTokenStore(clock), vendor = new ScriptedLogin(clock) } = options;
  const log = silentLog;
  const cache = new TokenCache({
    store,
    clock,
    maxBytes: 2 ** 20,
    freshUntil: (record) => refreshAt(record, policy),
  });
  const renewal = new Renewal({ store, vendor, cache, policy, clock, log, loginBudgetMs });
  const broker = new TokenBroker({ store, cache, renewal, policy, clock, log, defaultRegion: undefined });
  const worker = new RefreshWorker({ store, renewal, policy, clock, log });
  return { store, vendor, cache, renewal, broker, worker };
}
