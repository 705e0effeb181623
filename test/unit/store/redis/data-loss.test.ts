import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { Keys } from '../../../../src/store/redis/keys.ts';
import { createRedisStore } from '../../../../src/store/redis/redis-store.ts';
import { systemClock } from '../../../../src/token/clock.ts';
import { silentObserver } from '../../../../src/token/observer.ts';
import { eventually } from '../../../support/eventually.ts';
import { startRedis } from '../../../support/redis-server.ts';

test.each([
  ['still there', false],
  ['lost', true],
])('the check for data loss is repeated until it succeeds, and then reports the data as %s', async (_, losesData) => {
  const server = await startRedis();
  const admin = new Redis(server.url);
  const warnings: string[] = [];
  const keyPrefix = `loss-${randomUUID()}`;
  const store = createRedisStore({
    url: server.url,
    keyPrefix,
    encryptionKeys: [],
    terminalsPerAccount: 20,
    clock: systemClock,
    log: { info: () => undefined, warn: (_details: object, message: string) => void warnings.push(message) },
    observer: silentObserver,
  });
  onTestFinished(async () => {
    await store.close();
    admin.disconnect();
    await server.stop();
  });
  const returns: boolean[] = [];
  store.health.onReturn((lostData) => returns.push(lostData));
  const reconnect = () => admin.call('CLIENT', 'KILL', 'TYPE', 'normal');
  // The first connection reports nothing. The store knows the id of the data once it reports a return.
  await eventually(
    async () => {
      if (returns.length === 0) await reconnect();
      return returns.length > 0;
    },
    { everyMs: 300 },
  );
  expect(returns).not.toContain(true);
  returns.length = 0;

  // Redis is back, but has no memory for the check.
  await admin.config('SET', 'maxmemory', '1');
  if (losesData) await admin.del(new Keys(keyPrefix).epoch);
  await reconnect();
  const failures = () => warnings.filter((message) => message.includes('check for data loss failed'));
  await eventually(() => failures().length >= 2);
  expect(returns).toEqual([]);

  await admin.config('SET', 'maxmemory', '0');
  await eventually(() => returns.length > 0);
  expect(returns).toEqual([losesData]);
  const failed = failures().length;
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  expect(failures()).toHaveLength(failed);
  expect(returns).toEqual([losesData]);
});
