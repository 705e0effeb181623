import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { openRedisStore } from '../support/filled-store.ts';
import { replicaSummariesContract } from './replica-summaries.contract.ts';
import { tokenStoreContract } from './token-store.contract.ts';

tokenStoreContract('Redis, in the clear', () => openRedisStore(inject('redisUrl'), `test-${randomUUID()}`, []));

const prefix = `test-${randomUUID()}`;
replicaSummariesContract('Redis', () => openRedisStore(inject('redisUrl'), prefix, []));

test('rubbish among the summaries of replicas costs little, and lasts until the next summary', async () => {
  const keyPrefix = `test-${randomUUID()}`;
  const redis = new Redis(inject('redisUrl'));
  onTestFinished(() => redis.disconnect());
  const [one, other] = await Promise.all([1, 2].map(() => openRedisStore(inject('redisUrl'), keyPrefix, [])));
  onTestFinished(async () => void (await Promise.all([one?.close(), other?.close()])));
  const key = `${keyPrefix}:{replicas}`;
  const now = Date.now();
  await redis.hset(key, { long: `${now} ${'x'.repeat(5_000)}`, none: 'no time', early: `${now + 60_000} early` });
  await redis.hset(key, 'x'.repeat(3 * 2 ** 20), `${now} of no replica`);
  await other?.replicas.leave('mine');
  const others = async () => (await one?.replicas.others()) ?? [];
  const texts = async () => (await others()).map(({ text }) => text);
  expect((await texts()).sort()).toEqual(['early', 'mine']);
  expect(await others()).toContainEqual(expect.objectContaining({ text: 'early', ageMs: 0 }));
  expect(await redis.pttl(key)).toBeGreaterThan(3_000_000);
  expect(await redis.pttl(key)).toBeLessThanOrEqual(3_600_000);
  // With the five fields above, there are 200: as many as there may be.
  for (let field = 0; field < 195; field += 1) await redis.hset(key, `f${field}`, `${now} rubbish`);
  await other?.replicas.leave('mine');
  expect(await others()).toHaveLength(197);
  await redis.hset(key, 'one more', `${now} rubbish`);
  expect(await others()).toEqual([]);
  await other?.replicas.leave('mine');
  expect(await texts()).toEqual(['mine']);
});
