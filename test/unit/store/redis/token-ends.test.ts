import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { accountOf, digest, subjectId } from '../../../../src/token/subject.ts';
import { openRedisStore, saveToken } from '../../../support/filled-store.ts';

/** More than a search looks at in one shard. */
const WAITING = 3_300;

test('a search for the ends of tokens says that it was cut if more tokens wait than it looks at', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `test-${randomUUID()}`];
  const store = await openRedisStore(url, keyPrefix, []);
  const redis = new Redis(url);
  onTestFinished(async () => {
    redis.disconnect();
    await store.close();
  });
  const subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
  await saveToken(store, subject);
  expect((await store.dueQueue.ends()).isCut).toBe(false);
  const due = new Keys(keyPrefix).dueOf(accountOf(subjectId(subject)));
  const terminals = Array.from(
    { length: WAITING },
    (_, number) => `${accountOf(subjectId(subject))}${digest(`${number}`)}`,
  );
  await redis.zadd(due, ...terminals.flatMap((id) => ['1', id]));
  expect((await store.dueQueue.ends()).isCut).toBe(true);
});
