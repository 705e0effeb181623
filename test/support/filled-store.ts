import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { RESERVED_LENGTH } from '../../src/store/redis/records/directory-codec.ts';
import { createRedisStore } from '../../src/store/redis/redis-store.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import type { TokenRecord } from '../../src/token/sdk-token.ts';
import { digest, type Subject, subjectId } from '../../src/token/subject.ts';
import { eventually } from './eventually.ts';

const LIFE_MS = 30 * 86_400_000;
const silent = { info: () => undefined, warn: () => undefined };

export interface TestKey {
  readonly id: string;
  readonly key: Buffer;
}

export function newKey(id: string): TestKey {
  return { id, key: randomBytes(32) };
}

/** As TOKEN_ENCRYPTION_KEYS has it. */
export function keyRing(...keys: readonly TestKey[]): string {
  return keys.map(({ id, key }) => `${id}:${key.toString('base64')}`).join(',');
}

/** A store on a real Redis that is ready to be asked. */
export async function openRedisStore(url: string, keyPrefix: string, keys: readonly TestKey[]) {
  const store = createRedisStore({
    url,
    keyPrefix,
    encryptionKeys: keys,
    terminalsPerAccount: 20,
    clock: systemClock,
    log: silent,
    observer: { redisFailed: () => undefined },
  });
  await eventually(() => store.health.ping().then(() => true));
  return store;
}

/** Saves a token of thirty days for each subject, as a login would. */
export async function fillStore(store: TokenStore, subjects: readonly Subject[]): Promise<TokenRecord[]> {
  const records: TokenRecord[] = [];
  for (let at = 0; at < subjects.length; at += 100) {
    records.push(...(await Promise.all(subjects.slice(at, at + 100).map((subject) => saveToken(store, subject)))));
  }
  return records;
}

export async function saveToken(store: TokenStore, subject: Subject): Promise<TokenRecord> {
  const answer = await store.terminals.acquire(subjectId(subject), 10_000);
  if (answer.kind !== 'granted') throw new Error(`no lease: ${answer.kind}`);
  const issuedAt = systemClock.now();
  const expiresAt = issuedAt + LIFE_MS;
  const fields = {
    accessId: accessIdOf(subject.unionId),
    accessToken: randomBytes(64).toString('hex'),
    expireTime: String(Math.floor(expiresAt / 1_000)),
    terminalId: '-9223371996052586423',
    expand: '{"area":"de","regRegion":"DE"}',
    expend: '{"area":"de","regRegion":"DE"}',
  };
  const { generation } = answer.lease;
  const token = { fields, issuedAt, expiresAt };
  const record = { subject, region: 'DE', token, generation, read: false, unreadRenewals: 0 };
  const outcome = await store.terminals.save(answer.lease, record, expiresAt);
  if (outcome !== 'saved') throw new Error(`not saved: ${outcome}`);
  return record;
}

/** The accessId of a filled account. */
export function accessIdOf(unionId: string): string {
  return Buffer.from(digest(unionId), 'base64url').readBigInt64BE().toString();
}

/** How many tokens (`a`) and directory entries of accounts (`d`) are sealed under which key. */
export async function sealedUnder(url: string, keyPrefix: string): Promise<Record<string, Record<string, number>>> {
  const redis = new Redis(url);
  const found: Record<string, Record<string, number>> = {};
  const note = (kind: string, sealed: Buffer) => {
    const id = sealed.toString('latin1', 1, 1 + (sealed[0] ?? 0));
    const kinds = found[id] ?? {};
    found[id] = { ...kinds, [kind]: (kinds[kind] ?? 0) + 1 };
  };
  for await (const keys of redis.scanStream({ match: `${keyPrefix}:*`, count: 1_000 })) {
    for (const key of keys as string[]) {
      if (!/:a:[\w-]{22}$/.test(key)) continue;
      for (const [field, bytes] of Object.entries(await redis.hgetallBuffer(key))) {
        if (field === 'd') note('d', bytes.subarray(RESERVED_LENGTH));
        if (field.length === 22) note('a', bytes.subarray(15));
      }
    }
  }
  redis.disconnect();
  return found;
}
