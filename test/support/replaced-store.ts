import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Clock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';

/** A store that has the data of `present` until `replace` is called, and then those of `past`. It announces nothing. */
export function replacedStore(clock: Clock) {
  const [present, past] = [0, 1].map(() => createMemoryStore({ clock, terminalsPerAccount: 20 }));
  if (!present || !past) throw new Error('no stores');
  let current = present;
  const follow = <Part extends object>(part: (store: TokenStore) => Part): Part =>
    new Proxy(part(present), {
      get: (_, name) => (Reflect.get(part(current), name) as () => unknown).bind(part(current)),
    });
  const store: TokenStore = {
    ...present,
    terminals: follow(({ terminals }) => terminals),
    accounts: follow(({ accounts }) => accounts),
  };
  const replace = (): void => {
    current = past;
  };
  return { store, present, past, replace };
}
