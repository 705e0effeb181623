import { Redis } from 'ioredis';
import { CachedTokens, cachedToken } from '../../../../src/broker/cached-tokens.ts';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS } from '../../../../src/store/redis/records/record-codec.ts';
import { accountId, subjectId } from '../../../../src/token/subject.ts';
import { accessIdOf, saveToken } from '../../../../test/support/filled-store.ts';
import { madeUpRecord } from '../../../../test/support/made-up-tokens.ts';
import { type RedisServer, startRedis } from '../../../../test/support/redis-server.ts';
import { forEachSubject, KEY_PREFIX, newSubjects, openBrokerStore } from '../broker-setup.ts';
import { compare, type Scenario } from '../scenario.ts';

/** Tokens in Redis. Each belongs to another account. */
const STORED = 50_000;
/** Memory per token, in Redis and in a process. Measured once, because the results do not vary. */
export const scenario: Scenario = async () => {
  const redis = await startRedis();
  const { token, total } = await redisBytes(redis);
  await redis.stop();
  const bound = { is: '≤', bound: 950, unit: 'bytes' } as const;
  return {
    figures: [
      { label: 'in Redis: record, schedule, account index, remains of leases', value: token, unit: 'bytes' },
      { label: 'in Redis, with what stays after the token, for look-ups by accessId', value: total, unit: 'bytes' },
      { label: 'in a process', value: processBytes(), unit: 'bytes' },
    ],
    comparisons: [compare({ claim: 'a token in Redis', value: token, ...bound })],
  };
};

/** Bytes of Redis per token after a login for each token, with the space in Redis's own tables. */
async function redisBytes({ url }: RedisServer): Promise<{ token: number; total: number }> {
  const [store, redis, keys] = [await openBrokerStore(url), new Redis(url), new Keys(KEY_PREFIX)];
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  const empty = await used();
  const subjects = newSubjects(STORED);
  await forEachSubject(subjects, (subject) => saveToken(store, subject));
  const filled = await used();
  await forEachSubject(subjects, async ({ unionId }) => {
    await redis.del(keys.accessId(accessIdOf(unionId)));
    await redis.hdel(keys.account(accountId(unionId)), ACCOUNT_FIELDS.directory);
  });
  const left = await used();
  await store.close();
  redis.disconnect();
  return { token: (left - empty) / STORED, total: (filled - empty) / STORED };
}

/** Bytes of CACHE_MAX_MB per token. */
function processBytes(): number {
  const maxBytes = 2 ** 20;
  const memory = new CachedTokens(maxBytes);
  for (const subject of newSubjects(10_000)) {
    const facts = { id: subjectId(subject), checkedAt: 0, erasedAt: undefined, renewFrom: 0 };
    memory.add(cachedToken(madeUpRecord(subject), facts));
  }
  return maxBytes / memory.size;
}
