import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { Keys } from '../../../src/store/redis/keys.ts';
import { ACCOUNT_FIELDS } from '../../../src/store/redis/records/record-codec.ts';
import { accountId } from '../../../src/token/subject.ts';
import { NODE_FLAGS } from '../../../test/support/broker-process.ts';
import { accessIdOf, saveToken } from '../../../test/support/filled-store.ts';
import { type RedisServer, startRedis } from '../../../test/support/redis-server.ts';
import { forEachSubject, KEY_PREFIX, newSubjects, openBrokerStore } from '../broker-setup.ts';
import { compare, type Scenario } from '../scenario.ts';

/** Tokens in Redis. Each belongs to another account. */
const STORED = 50_000;
/** Tokens in the memory of a process, beside as many before the measurement. */
const CACHED = 100_000;

/** Memory per token, in Redis and in a process that caches tokens. Measured once, because the results do not vary. */
export const scenario: Scenario = async () => {
  const redis = await startRedis();
  const { token, total } = await redisBytes(redis);
  await redis.stop();
  const cache = await cacheMemory();
  const bound = { is: '≤', bound: 950, unit: 'bytes' } as const;
  return {
    figures: [
      { label: 'in Redis: record, schedule, account index, remains of leases', value: token, unit: 'bytes' },
      { label: 'in Redis, with what stays after the token, for look-ups by accessId', value: total, unit: 'bytes' },
      { label: 'in the heap of a process', value: cache.heapEach, unit: 'bytes' },
      { label: 'as the cache counts it against its limit', value: cache.countedEach, unit: 'bytes' },
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

async function cacheMemory() {
  const script = fileURLToPath(new URL('../fill-cache.ts', import.meta.url));
  const args = [...NODE_FLAGS, '--expose-gc', '--import', 'tsx', script, String(CACHED)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as { heapEach: number; countedEach: number };
}
