import { randomUUID } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { accountOf, digest, subjectId } from '../../../../src/token/subject.ts';
import { eventually } from '../../../support/eventually.ts';
import { openRedisStore, saveToken } from '../../../support/filled-store.ts';
import { redisClient } from '../../../support/redis-client.ts';
import { monitorRedis } from '../../../support/redis-monitor.ts';

/** More than a search reads at once. */
const FOREIGN = 150;

/** A store with one token, which an app has read. */
async function openStore() {
  const [url, keyPrefix] = [inject('redisUrl'), `test-${randomUUID()}`];
  const store = await openRedisStore(url, keyPrefix, []);
  const redis = redisClient(url);
  const subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
  const id = subjectId(subject);
  const { generation, token } = await saveToken(store, subject);
  await store.terminals.markRead(id, generation, token.expiresAt);
  return { url, store, redis, account: accountOf(id), due: new Keys(keyPrefix).dueOf(accountOf(id)) };
}

test('a search for the first end of a token asks Redis for 100 at once', async () => {
  const { url, store, redis, account, due } = await openStore();
  const parts = new Set<string>();
  await monitorRedis(url, ({ words: [command, key, from, to] }) => {
    if (command === 'zrange' && key === due) parts.add(`${from} to ${to}`);
  });
  const terminals = Array.from({ length: FOREIGN }, (_, number) => `${account}${digest(`${number}`)}`);
  await redis.zadd(due, ...terminals.flatMap((id) => ['1', id]));
  // On a busy machine, Redis may not answer in time.
  await eventually(() => store.dueQueue.firstEnd());
  await eventually(() => expect([...parts]).toEqual(['0 to 99', '100 to 199']));
});

test('a search for the first end of a token finds one behind many entries that no broker wrote', async () => {
  const { store, redis, due } = await openStore();
  const firstAt = await store.dueQueue.firstEnd();
  expect(firstAt).toBeTypeOf('number');
  await redis.zadd(due, ...Array.from({ length: FOREIGN }, (_, number) => ['1', `foreign ${number}`]).flat());
  expect(await store.dueQueue.firstEnd()).toBe(firstAt);
});
