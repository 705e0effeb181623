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

const UNTRACED: ReadonlySet<string> = new Set(['extend', 'clockFor', 'nextPlaceInMs']);

/**
 * Runs each store operation of a request or a renewal in a span, and none of background jobs for many accounts at once.
 * @param system the database, like `redis`; `undefined`: the memory of this process
 */
export function tracedStore(store: TokenStore, tracer: Tracer, system: string | undefined): TokenStore {
  const traced = <Part extends object>(part: Part): Part =>
    new Proxy(part, {
      get(_, name: string) {
        const method = Reflect.get(part, name) as (...args: unknown[]) => unknown;
        const operation = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        const facts = system ? { 'db.system.name': system, 'db.operation.name': operation } : undefined;
        return (...args: unknown[]) => {
          const call = () => Reflect.apply(method, part, args);
          return UNTRACED.has(name) ? call() : tracer.span(`store ${operation}`, call, facts);
        };
      },
    });
  const { terminals, accounts, rateLimiter, loginQueue } = store;
  return {
    ...store,
    terminals: traced(terminals),
    accounts: traced(accounts),
    rateLimiter: traced(rateLimiter),
    loginQueue: traced(loginQueue),
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
