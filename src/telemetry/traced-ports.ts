import { type Observer, withListener } from '../token/observer.ts';
import type { TokenStore, VendorLogin } from '../token/ports.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import type { SpanFacts, Tracer } from '../token/tracer.ts';

/** Runs each check in a span. */
export function tracedSessions<P extends Principal>(sessions: SessionVerifier<P>, tracer: Tracer): SessionVerifier<P> {
  return { verify: (session) => tracer.span('session check', () => sessions.verify(session)) };
}

/** Runs each login in a span, with its wait for the login queue and all its attempts. */
export function tracedLogin(vendor: VendorLogin, tracer: Tracer): VendorLogin {
  return { login: (request) => tracer.span('login', () => vendor.login(request)) };
}

/**
 * Runs each operation of the store that is part of a request or a renewal in a span. Operations of background jobs for
 * many accounts at once, such as the claim of due tokens, have none.
 * @param system the database, like `redis`; `undefined`: the memory of this process
 */
export function tracedStore(store: TokenStore, tracer: Tracer, system: string | undefined): TokenStore {
  const span = <T>(operation: string, work: () => T): T => {
    const facts = system && { 'db.system.name': system, 'db.operation.name': operation };
    return tracer.span(`store ${operation}`, work, facts || undefined);
  };
  const { terminals, accounts, rateLimiter, loginQueue } = store;
  return {
    ...store,
    terminals: {
      read: (id) => span('read', () => terminals.read(id)),
      markRead: (id, generation, dueAt) => span('mark_read', () => terminals.markRead(id, generation, dueAt)),
      acquire: (id, durationMs) => span('acquire', () => terminals.acquire(id, durationMs)),
      extend: (leases) => terminals.extend(leases),
      save: (lease, record, dueAt) => span('save', () => terminals.save(lease, record, dueAt)),
      saveAccessId: (lease, account) => span('save_access_id', () => terminals.saveAccessId(lease, account)),
      release: (...args) => span('release', () => terminals.release(...args)),
      restore: (...args) => span('restore', () => terminals.restore(...args)),
      remove: (id, issuedAt) => span('remove', () => terminals.remove(id, issuedAt)),
      repeatRemoval: (id, generation) => span('repeat_removal', () => terminals.repeatRemoval(id, generation)),
      drop: (record) => span('drop', () => terminals.drop(record)),
      clockFor: (id) => terminals.clockFor(id),
    },
    accounts: {
      find: (unionId) => span('find_account', () => accounts.find(unionId)),
      identify: (unionId) => span('identify_account', () => accounts.identify(unionId)),
      lookUp: (accessIds) => span('look_up', () => accounts.lookUp(accessIds)),
      erase: (unionId) => span('erase', () => accounts.erase(unionId)),
      repeatErasure: (account, generation) => span('repeat_erasure', () => accounts.repeatErasure(account, generation)),
    },
    rateLimiter: {
      take: (name, intervalMs, burst) => span('take_permit', () => rateLimiter.take(name, intervalMs, burst)),
      giveBack: (name, intervalMs) => span('give_back_permit', () => rateLimiter.giveBack(name, intervalMs)),
    },
    loginQueue: {
      reserve: (pace, urgency, account) => span('reserve_login', () => loginQueue.reserve(pace, urgency, account)),
      nextPlaceInMs: () => loginQueue.nextPlaceInMs(),
    },
    close: () => store.close(),
  };
}

/** Adds the outcomes that the metrics count to the span in which they occur. Neither identifies an account. */
export function tracedObserver(observer: Observer, note: (facts: SpanFacts) => void): Observer {
  return withListener(observer, {
    sessionChecked: (outcome) => note({ 'broker.session': outcome }),
    tokenServed: (outcome) => note({ 'broker.token_source': outcome }),
    renewalEnded: (cause, outcome) => note({ 'broker.renewal_cause': cause, 'broker.renewal_outcome': outcome }),
    renewalFailed: (cause) => note({ 'broker.renewal_cause': cause }),
    loginEnded: (outcome, code) =>
      note({ 'broker.login_outcome': outcome, ...(code !== undefined && { 'broker.vendor_code': code }) }),
    budgetWaited: (_, waitMs) => note({ 'broker.login_queue_ms': waitMs }),
  });
}
