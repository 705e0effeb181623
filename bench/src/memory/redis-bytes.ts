import { Redis } from 'ioredis';
import { Keys, SHARDS } from '../../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS } from '../../../src/store/redis/records/account-hash.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { dueAt } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountId, accountOf, subjectId, terminalOf } from '../../../src/token/subject.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { KEY_PREFIX, openBrokerStore } from '../broker-store.ts';
import { startBenchRedis } from '../processes/redis.ts';
import { POLICY } from '../renewal/due-records.ts';
import { newSubjects, randomToken } from '../subjects.ts';
import { usedMemory } from './used-memory.ts';

/** One terminal per account. */
export const TOKENS = 50_000;
const AT_ONCE = 50;
const LEASE_MS = 1_000;

const keys = new Keys(KEY_PREFIX);

/** Bytes of Redis for each token. */
export interface BrokerBytes {
  readonly total: number;
  readonly schedule: number;
  /** What outlives the token, for look-ups by accessId: the account's own entry, and the key that leads to it. */
  readonly directory: number;
  readonly lookUp: number;
}

/** What the broker's store takes for tokens that were logged in for: taken apart by deleting one thing after the other. */
export async function brokerBytes(): Promise<BrokerBytes> {
  return inRedis(async (redis, url) => {
    const store = await openBrokerStore(url);
    const empty = await usedMemory(redis);
    const records = await putRecords((record) => logIn(store, record));
    let left = await usedMemory(redis);
    const total = (left - empty) / TOKENS;
    const without = async (remove: () => Promise<unknown>): Promise<number> => {
      await remove();
      const before = left;
      left = await usedMemory(redis);
      return (before - left) / TOKENS;
    };
    const lookUp = await without(() => {
      const pipeline = redis.pipeline();
      for (const { token } of records) pipeline.del(keys.accessId(token.fields['accessId'] ?? ''));
      return pipeline.exec();
    });
    const directory = await without(() => {
      const pipeline = redis.pipeline();
      for (const { subject } of records)
        pipeline.hdel(keys.account(accountId(subject.unionId)), ACCOUNT_FIELDS.directory);
      return pipeline.exec();
    });
    const schedule = await without(() => redis.del(Array.from({ length: SHARDS }, (_, shard) => keys.due(shard))));
    await store.close();
    return { total, schedule, directory, lookUp };
  });
}

/** A login as the store sees it; once more where Redis was slow. */
function logIn(store: TokenStore, record: TokenRecord): Promise<void> {
  return eventually(async () => {
    const answer = await store.terminals.acquire(subjectId(record.subject), LEASE_MS);
    if (answer.kind !== 'granted') throw new Error(`a lease of the bench was not granted: ${answer.kind}`);
    const { lease } = answer;
    const outcome = await store.terminals.save(
      lease,
      { ...record, generation: lease.generation },
      dueAt(record, POLICY),
    );
    if (outcome !== 'saved') throw new Error(`a token of the bench was not saved: ${outcome}`);
  });
}

/** What the same keys take with a plain JSON record, and nothing that outlives tokens. */
export async function plainJsonBytes(): Promise<number> {
  return inRedis(async (redis) => {
    const empty = await usedMemory(redis);
    await putRecords(async (record) => {
      const id = subjectId(record.subject);
      const account = keys.account(accountOf(id));
      const fields = { [terminalOf(id)]: JSON.stringify(record), [ACCOUNT_FIELDS.region]: record.region };
      await Promise.all([
        redis.hset(account, fields),
        redis.zadd(keys.dueOf(accountOf(id)), Math.round(dueAt(record, POLICY)), id),
      ]);
    });
    return ((await usedMemory(redis)) - empty) / TOKENS;
  });
}

async function inRedis<T>(measure: (redis: Redis, url: string) => Promise<T>): Promise<T> {
  const server = await startBenchRedis();
  const redis = new Redis(server.url);
  try {
    return await measure(redis, server.url);
  } finally {
    redis.disconnect();
    await server.stop();
  }
}

async function putRecords(put: (record: TokenRecord) => Promise<void>): Promise<TokenRecord[]> {
  const records = newSubjects(TOKENS).map((subject): TokenRecord => {
    const token = randomToken();
    const generation = token.issuedAt;
    return { subject: { app: 'default', ...subject }, region: 'DE', token, generation, read: true, unreadRenewals: 0 };
  });
  for (let done = 0; done < TOKENS; done += AT_ONCE) await Promise.all(records.slice(done, done + AT_ONCE).map(put));
  return records;
}
