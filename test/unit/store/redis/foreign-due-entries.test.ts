import { randomUUID } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { openRedisStore, PATIENT } from '../../../support/filled-store.ts';
import { redisClient } from '../../../support/redis-client.ts';

const ENTRIES = 2_000;

test('any number of due entries that no broker wrote are dropped, and counted in the log', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `test-${randomUUID()}`];
  const { logger: log, lines } = captureLog('warn');
  const store = await openRedisStore(url, keyPrefix, [], { ...PATIENT, log });
  const redis = redisClient(url);
  const due = new Keys(keyPrefix).due(0);
  // The last two have the characters of an id, but not its length.
  const entries = [...Array.from({ length: ENTRIES - 2 }, (_, number) => `foreign ${number}`), 'A', 'A'.repeat(200)];
  await redis.zadd(due, ...entries.flatMap((entry) => ['1', entry]));
  while ((await redis.zcard(due)) > 0) expect((await store.dueQueue.claim(300)).ids).toEqual([]);
  expect(lines().at(-1)).toMatchObject({ entries: ENTRIES });
});
