import { BrokerError } from '../../src/token/errors.ts';
import type { TokenStore } from '../../src/token/ports.ts';

type Part = Exclude<keyof TokenStore, 'close'>;
type StoreMethod = { [P in Part]: keyof TokenStore[P] }[Part];

/** Counts the calls of a store by method. Fails or delays the methods that the test names. */
export function watchedStore(store: TokenStore) {
  const calls = new Map<string, number>();
  const down = new Set<StoreMethod>();
  const late = new Map<StoreMethod, Promise<void>>();
  const watch = <T extends object>(part: T): T =>
    new Proxy(part, {
      get(target, property) {
        const name = property as StoreMethod;
        const method = Reflect.get(target, property) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          calls.set(name, (calls.get(name) ?? 0) + 1);
          if (down.has(name)) return Promise.reject(new BrokerError('store_unavailable'));
          const call = () => Reflect.apply(method, target, args);
          return late.get(name)?.then(call) ?? call();
        };
      },
    });
  const watched: TokenStore = {
    terminals: watch(store.terminals),
    accounts: watch(store.accounts),
    dueQueue: watch(store.dueQueue),
    rateLimiter: watch(store.rateLimiter),
    loginQueue: watch(store.loginQueue),
    announcements: watch(store.announcements),
    health: watch(store.health),
    replicas: watch(store.replicas),
    close: () => store.close(),
  };
  return { store: watched, down, late, calls: (name: StoreMethod) => calls.get(name) ?? 0 };
}
