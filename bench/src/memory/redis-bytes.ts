import { Keys, SHARDS } from '../../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS } from '../../../src/store/redis/records/record-codec.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { dueAt } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountId, accountOf, subjectId, terminalOf } from '../../../src/token/subject.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { madeUpRecord } from '../../../test/support/made-up-tokens.ts';
import { KEY_PREFIX, openBrokerStore, POLICY } from '../broker-setup.ts';
import { usedMemory, withEmptyRedis } from '../processes/redis.ts';
import { newSubjects } from '../subjects.ts';

/** Each token belongs to another account. */
export const TOKENS = 50_000;
const CONCURRENT_WRITES = 50;
const LEASE_MS = 1_000;

const keys = new Keys(KEY_PREFIX);

/** Bytes of Redis per token. */
export interface BrokerBytes {
  readonly total: number;
  readonly schedule: number;
  /** These stay after the token, for lookups by accessId: the entry in the account, and the key that refers to it. */
  readonly directory: number;
  readonly lookUp: number;
}

/** Measures the broker's store after a login for each token. Deletes one part after the other to get its share. */
export async function brokerBytes(): Promise<BrokerBytes> {
  return withEmptyRedis(async (redis, url) => {
    const store = await openBrokerStore(url);
    const empty = await usedMemory(redis);
    const records = await putRecords((record) => logIn(store, record));
    let left = await usedMemory(redis);
    const total = (left - empty) / TOKENS;
    const bytesOf = async (remove: () => Promise<unknown>): Promise<number> => {
      await remove();
      const before = left;
      left = await usedMemory(redis);
      return (before - left) / TOKENS;
    };
    const lookUp = await bytesOf(() => {
      const pipeline = redis.pipeline();
      for (const { token } of records) pipeline.del(keys.accessId(token.fields['accessId'] ?? ''));
      return pipeline.exec();
    });
    const directory = await bytesOf(() => {
      const pipeline = redis.pipeline();
      for (const { subject } of records)
        pipeline.hdel(keys.account(accountId(subject.unionId)), ACCOUNT_FIELDS.directory);
      return pipeline.exec();
    });
    const schedule = await bytesOf(() => redis.del(Array.from({ length: SHARDS }, (_, shard) => keys.due(shard))));
    await store.close();
    return { total, schedule, directory, lookUp };
  });
}

/** Stores a token like a login. Tries again if Redis was too slow. */
function logIn(store: TokenStore, record: TokenRecord): Promise<void> {
  return eventually(async () => {
    const answer = await store.terminals.acquire(subjectId(record.subject), LEASE_MS);
    if (answer.kind !== 'granted') throw new Error(`the lease was not granted: ${answer.kind}`);
    const { lease } = answer;
    const outcome = await store.terminals.save(
      lease,
      { ...record, generation: lease.generation },
      dueAt(record, POLICY),
    );
    if (outcome !== 'saved') throw new Error(`the token was not saved: ${outcome}`);
  });
}

/** Measures the same keys with plain JSON records, without the parts that stay after a token. */
export async function plainJsonBytes(): Promise<number> {
  return withEmptyRedis(async (redis) => {
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

async function putRecords(put: (record: TokenRecord) => Promise<void>): Promise<TokenRecord[]> {
  const records = newSubjects(TOKENS).map((subject) => madeUpRecord({ app: 'default', ...subject }));
  for (let done = 0; done < TOKENS; done += CONCURRENT_WRITES) {
    await Promise.all(records.slice(done, done + CONCURRENT_WRITES).map(put));
  }
  return records;
}
