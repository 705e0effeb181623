import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { HEADER_LENGTH } from '../../src/store/redis/records/record-codec.ts';
import { createRedisStore, type RedisStoreOptions } from '../../src/store/redis/redis-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { digest, type Subject, subjectId } from '../../src/token/subject.ts';
import { takeLease } from './due-claims.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { madeUpRecord, madeUpToken } from './made-up-tokens.ts';
import { silentObserver } from './silent-observer.ts';

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

export interface TestKey {
  readonly id: string;
  readonly key: Buffer;
}

export function newKey(id: string): TestKey {
  return { id, key: randomBytes(32) };
}

/** Formats keys for TOKEN_ENCRYPTION_KEYS. */
export function keyRing(...keys: readonly TestKey[]): string {
  return keys.map(({ id, key }) => `${id}:${key.toString('base64')}`).join(',');
}

/** For a test in which Redis works: on a busy machine, it may take longer to answer than the broker waits. */
export const PATIENT = { commandTimeoutMs: 10_000 };

/** Opens a store on a real Redis and waits until Redis answers. It is closed at the end of the test. */
export async function openRedisStore(
  url: string,
  keyPrefix: string,
  keys: readonly TestKey[],
  options: Partial<RedisStoreOptions> = PATIENT,
) {
  const store = createRedisStore({
    url,
    keyPrefix,
    encryptionKeys: keys,
    terminalsPerAccount: 20,
    clock: systemClock,
    log: silent,
    observer: silentObserver,
    ...options,
  });
  await eventually(() => store.health.ping().then(() => true));
  return { ...store, close: endWithTest(() => store.close()) };
}

/** Saves a token of 30 days for each subject, like a login. */
export async function fillStore(store: TokenStore, subjects: readonly Subject[]): Promise<TokenRecord[]> {
  const records: TokenRecord[] = [];
  for (let at = 0; at < subjects.length; at += 100) {
    records.push(...(await Promise.all(subjects.slice(at, at + 100).map((subject) => saveToken(store, subject)))));
  }
  return records;
}

/** Saves a token of 30 days that no app has read. It is not renewed in the background before it expires. */
export async function saveToken(store: TokenStore, subject: Subject): Promise<TokenRecord> {
  const lease = await takeLease(store, subjectId(subject), 10_000);
  const { generation } = lease;
  const record = { ...madeUpRecord(subject, madeUpToken(accessIdOf(subject.unionId))), generation, read: false };
  const outcome = await store.terminals.save(lease, record, record.token.expiresAt);
  if (outcome !== 'saved') throw new Error(`the token was not saved: ${outcome}`);
  return record;
}

/** The accessId that `saveToken` gives to an account. */
export function accessIdOf(unionId: string): string {
  return Buffer.from(digest(unionId), 'base64url').readBigInt64BE().toString();
}

/** Counts the tokens (`a`) and directory entries of accounts (`d`) by the id of the key that encrypts them. */
export async function sealedUnder(url: string, keyPrefix: string): Promise<Record<string, Record<string, number>>> {
  const redis = new Redis(url);
  const found: Record<string, Record<string, number>> = {};
  const count = (kind: string, sealed: Buffer) => {
    const id = sealed.toString('latin1', 1, 1 + (sealed[0] ?? 0));
    const kinds = found[id] ?? {};
    found[id] = { ...kinds, [kind]: (kinds[kind] ?? 0) + 1 };
  };
  for await (const keys of redis.scanStream({ match: `${keyPrefix}:*`, count: 1_000 })) {
    for (const key of keys as string[]) {
      if (!/:a:[\w-]{22}$/.test(key)) continue;
      for (const [field, bytes] of Object.entries(await redis.hgetallBuffer(key))) {
        if (field === 'd') count('d', bytes);
        if (field.length === 22) count('a', bytes.subarray(HEADER_LENGTH));
      }
    }
  }
  redis.disconnect();
  return found;
}
