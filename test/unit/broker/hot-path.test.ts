import { createHook } from 'node:async_hooks';
import { expect, onTestFinished, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const CALLS = ['read', 'acquire', 'save', 'release', 'markRead', 'take', 'ping'] as const;

test('a read from memory asks the store for nothing, sets no timer, and hands out the bytes it has', async () => {
  const watched = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 }));
  const { broker } = brokerParts({ store: watched.store });
  const read = () => broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: systemClock.now() });
  const first = await read();
  const callsOf = () => CALLS.map((name) => watched.calls(name));
  const before = callsOf();
  let timers = 0;
  const hook = createHook({
    init(_id, type) {
      if (type === 'Timeout') timers += 1;
    },
  });
  onTestFinished(() => void hook.disable());
  hook.enable();
  for (let round = 0; round < 100; round += 1) expect(await read()).toBe(first);
  const seen = timers;
  setTimeout(() => undefined, 0);
  hook.disable();
  expect([seen, timers - seen]).toEqual([0, 1]);
  expect(callsOf()).toEqual(before);
});
