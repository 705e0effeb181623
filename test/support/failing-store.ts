import { BrokerError } from '../../src/token/errors.ts';
import type { TokenStore } from '../../src/token/ports.ts';

/** Counts the calls of a store by method, and refuses, or makes late, those it is told to. */
export function watchedStore(store: TokenStore) {
  const calls = new Map<string, number>();
  const down = new Set<keyof TokenStore>();
  const late = new Map<keyof TokenStore, Promise<void>>();
  const watched = new Proxy(store, {
    get(target, name: keyof TokenStore) {
      const method = target[name];
      return (...args: unknown[]) => {
        calls.set(name, (calls.get(name) ?? 0) + 1);
        if (down.has(name)) return Promise.reject(new BrokerError('store_unavailable'));
        const call = () => Reflect.apply(method, target, args);
        return late.get(name)?.then(call) ?? call();
      };
    },
  });
  return { store: watched, down, late, calls: (name: keyof TokenStore) => calls.get(name) ?? 0 };
}
