import { setImmediate } from 'node:timers/promises';
import { expect, inject, test } from 'vitest';
import { createRedisStore } from '../../../../../src/store/redis/redis-store.ts';
import { systemClock } from '../../../../../src/token/clock.ts';
import { captureLog } from '../../../../support/captured-log.ts';
import { silentObserver } from '../../../../support/silent-observer.ts';

/** More turns of the event loop than a connection to a server on this machine needs until it is ready. */
const TURNS = 60;

test('a store that is closed while it connects does not log that Redis failed', async () => {
  const log = captureLog('warn');
  for (let turns = 0; turns < TURNS; turns += 1) {
    const store = createRedisStore({
      url: inject('redisUrl'),
      keyPrefix: 'early-end',
      encryptionKeys: [],
      terminalsPerAccount: 1,
      clock: systemClock,
      log: log.logger,
      observer: silentObserver,
    });
    for (let turn = 0; turn < turns; turn += 1) await setImmediate();
    await store.close();
  }
  expect(log.text()).toBe('');
});
