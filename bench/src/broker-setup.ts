import { vendorSettings } from '../../src/simulator/vendor-simulator.ts';
import { TokenCipher } from '../../src/store/redis/records/token-cipher.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import type { RefreshPolicy } from '../../src/token/renewal-timing.ts';
import { eventually } from '../../test/support/eventually.ts';
import { keyRing, openRedisStore } from '../../test/support/filled-store.ts';
import { LIFE_MS, madeUpRecord } from '../../test/support/made-up-tokens.ts';
import type { BenchSubject } from './subjects.ts';

export const KEY_PREFIX = 'sdkt';
const ENCRYPTION_KEY = { id: 'k1', key: Buffer.alloc(32, 7) };
const CONCURRENT_WRITES = 250;

/** The broker's default policy. */
export const POLICY: RefreshPolicy = { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 };

/**
 * Settings of the measured broker, besides Redis, the vendor and the session key. The broker counts reads per account
 * and logins in total, as in production, but the limits are so high that no request reaches them.
 */
export const brokerEnvironment = {
  ADMIN_PORT: '0',
  REDIS_KEY_PREFIX: KEY_PREFIX,
  TOKEN_ENCRYPTION_KEYS: keyRing(ENCRYPTION_KEY),
  ...vendorSettings('set by bench-world.ts'),
  VENDOR_MAX_RPS: '10000',
  RATE_LIMIT_PER_MINUTE: '1000000',
  LOGIN_LIMIT_PER_HOUR: '1000000',
};

/** Encrypts records like the broker's store. */
export function benchCipher(): TokenCipher {
  return new TokenCipher([ENCRYPTION_KEY]);
}

/** Opens the broker's store and waits until Redis answers. The caller closes it. */
export function openBrokerStore(url: string): Promise<TokenStore> {
  return openRedisStore(url, KEY_PREFIX, [ENCRYPTION_KEY]);
}

/** Writes a token for each subject into Redis like the broker. An app has read the tokens, and they are not due. */
export async function fillBrokerStore(url: string, subjects: readonly BenchSubject[]): Promise<void> {
  const store = await openBrokerStore(url);
  for (let at = 0; at < subjects.length; at += CONCURRENT_WRITES) {
    const batch = subjects.slice(at, at + CONCURRENT_WRITES);
    await Promise.all(batch.map((subject) => eventually(() => restore(store, subject))));
  }
  await store.close();
}

async function restore(store: TokenStore, subject: BenchSubject): Promise<void> {
  const record = madeUpRecord({ app: 'default', ...subject });
  const outcome = await store.terminals.restore(record, record.token.issuedAt + 0.8 * LIFE_MS);
  if (outcome !== 'saved') throw new Error(`the store rejected a token of the bench: ${outcome}`);
}
