import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { newKey, openRedisStore, type TestKey } from '../support/filled-store.ts';
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
  await redis.hset(key, { long: `${now}  ${now} ${'x'.repeat(5_000)}`, none: 'no time', untimed: `${now} text` });
  await redis.hset(key, { early: `${now + 50_000}  ${now} early`, copied: `${now}  ${now - 61_000} copied` });
  await redis.hset(key, 'x'.repeat(3 * 2 ** 20), `${now}  ${now} of no replica`);
  await other?.replicas.leave('mine');
  const others = async () => (await one?.replicas.others()) ?? [];
  const texts = async () => (await others()).map(({ text }) => text);
  expect((await texts()).sort()).toEqual(['early', 'mine']);
  expect(await others()).toContainEqual(expect.objectContaining({ text: 'early', ageMs: 0 }));
  expect(await redis.pttl(key)).toBeGreaterThan(3_000_000);
  expect(await redis.pttl(key)).toBeLessThanOrEqual(3_600_000);
  // With the seven fields above, there are 200: as many as there may be.
  for (let field = 0; field < 193; field += 1) await redis.hset(key, `f${field}`, `${now}  ${now} rubbish`);
  await other?.replicas.leave('mine');
  expect(await others()).toHaveLength(195);
  await redis.hset(key, 'one more', `${now} rubbish`);
  expect(await others()).toEqual([]);
  await other?.replicas.leave('mine');
  expect(await texts()).toEqual(['mine']);
});

test('the summary of a replica counts as signed where one of the keys is the one with which it encrypts', async () => {
  const keyPrefix = `test-${randomUUID()}`;
  const [a, b] = [newKey('a'), newKey('b')];
  const rings = { a: [a], ab: [a, b], ba: [b, a], b: [b], off: [] };
  const open = async (ring: TestKey[]) => (await openRedisStore(inject('redisUrl'), keyPrefix, ring)).replicas;
  const stores = await Promise.all(
    Object.entries(rings).map(async ([name, ring]) => ({ name, own: await open(ring) })),
  );
  for (const { name, own } of stores) await own.leave(name);
  const signedFor = async ({ name, own }: (typeof stores)[number]) => {
    const left = await own.others();
    expect(left).toHaveLength(4);
    return [name, left.flatMap(({ text, isSigned }) => (isSigned ? [text] : [])).sort()];
  };
  expect(Object.fromEntries(await Promise.all(stores.map(signedFor)))).toEqual({
    a: ['ab'],
    ab: ['a', 'b', 'ba'],
    ba: ['a', 'ab', 'b'],
    b: ['ba'],
    off: ['a', 'ab', 'b', 'ba'],
  });
});
