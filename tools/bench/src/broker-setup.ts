import { randomUUID } from 'node:crypto';
import { vendorSettings } from '../../../src/simulator/vendor-simulator.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { keyRing, openRedisStore } from '../../../test/support/filled-store.ts';
import { LIFE_MS, madeUpRecord, madeUpToken } from '../../../test/support/made-up-tokens.ts';

export const KEY_PREFIX = 'sdkt';
const ENCRYPTION_KEY = { id: 'k1', key: Buffer.alloc(32, 7) };
const CONCURRENT_WRITES = 200;

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

export function newSubjects(count: number): Subject[] {
  return Array.from({ length: count }, () => ({ app: 'default', unionId: randomUUID(), uniqueId: randomUUID() }));
}

/** Opens the broker's store and waits until Redis answers. The caller closes it. */
export function openBrokerStore(url: string): Promise<TokenStore> {
  return openRedisStore(url, KEY_PREFIX, [ENCRYPTION_KEY]);
}

/** Calls `write` for each subject, for many at the same time. */
export async function forEachSubject(
  subjects: readonly Subject[],
  write: (subject: Subject) => Promise<unknown>,
): Promise<void> {
  for (let done = 0; done < subjects.length; done += CONCURRENT_WRITES) {
    await Promise.all(subjects.slice(done, done + CONCURRENT_WRITES).map(write));
  }
}

/**
 * Writes a token for each subject into Redis like the broker. An app has read the tokens.
 * @param spentShare share of their life that has passed. They are due after 0.8
 */
export async function fillBrokerStore(url: string, subjects: readonly Subject[], spentShare = 0): Promise<void> {
  const store = await openBrokerStore(url);
  const restore = async (subject: Subject) => {
    const { fields, ...times } = madeUpToken();
    const [issuedAt, expiresAt] = [times.issuedAt - spentShare * LIFE_MS, times.expiresAt - spentShare * LIFE_MS];
    const record = madeUpRecord(subject, { fields, issuedAt, expiresAt });
    const outcome = await store.terminals.restore(record, issuedAt + 0.8 * LIFE_MS);
    if (outcome !== 'saved') throw new Error(`the store rejected a token of the bench: ${outcome}`);
  };
  await forEachSubject(subjects, (subject) => eventually(() => restore(subject)));
  await store.close();
}
