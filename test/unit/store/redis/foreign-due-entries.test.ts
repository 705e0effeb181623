import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { createRedisStore } from '../../../../src/store/redis/redis-store.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { PATIENT } from '../../../support/filled-store.ts';
import { silentObserver } from '../../../support/silent-observer.ts';

const ENTRIES = 2_000;

test('any number of due entries that no broker wrote are dropped, and counted in the log', async () => {
  const [url, keyPrefix] = [inject('redisUrl'), `test-${randomUUID()}`];
  const counted: number[] = [];
  const warn = (fields: object) => void counted.push((fields as { entries: number }).entries);
  const store = createRedisStore({
    url,
    keyPrefix,
    encryptionKeys: [],
    terminalsPerAccount: 20,
    clock: systemClock,
    log: { info: () => undefined, warn, error: () => undefined },
    observer: silentObserver,
    ...PATIENT,
  });
  const redis = new Redis(url);
  onTestFinished(async () => {
    redis.disconnect();
    await store.close();
  });
  await eventually(() => store.health.ping().then(() => true));
  counted.length = 0;
  const due = new Keys(keyPrefix).due(0);
  // The last two have the characters of an id, but not its length.
  const entries = [...Array.from({ length: ENTRIES - 2 }, (_, number) => `foreign ${number}`), 'A', 'A'.repeat(200)];
  await redis.zadd(due, ...entries.flatMap((entry) => ['1', entry]));
  while ((await redis.zcard(due)) > 0) expect((await store.dueQueue.claim(300)).ids).toEqual([]);
  expect(counted.at(-1)).toBe(ENTRIES);
});
