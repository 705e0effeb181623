import { TokenCipher } from '../../src/store/redis/records/token-cipher.ts';
import { createRedisStore } from '../../src/store/redis/redis-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import { eventually } from '../../test/support/eventually.ts';

export const KEY_PREFIX = 'sdkt';
const silent = { info: () => undefined, warn: () => undefined };
const ENCRYPTION_KEY = { id: 'k1', key: Buffer.alloc(32, 7) };
/** As `TOKEN_ENCRYPTION_KEYS` has it. */
export const ENCRYPTION_KEYS = `${ENCRYPTION_KEY.id}:${ENCRYPTION_KEY.key.toString('base64')}`;

/** Seals what is kept in Redis, as the broker's store does. */
export function benchCipher(): TokenCipher {
  return new TokenCipher([ENCRYPTION_KEY]);
}

/** The broker's store, once Redis answers. To be closed by who opened it. */
export async function openBrokerStore(url: string): Promise<TokenStore> {
  const store = createRedisStore({
    url,
    keyPrefix: KEY_PREFIX,
    encryptionKeys: [ENCRYPTION_KEY],
    terminalsPerAccount: 20,
    clock: systemClock,
    log: silent,
    observer: { redisFailed: () => undefined },
  });
  await eventually(() => store.health.ping());
  return store;
}
