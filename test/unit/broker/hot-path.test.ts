import { createHook } from 'node:async_hooks';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import type { ServedToken } from '../../../src/token/sdk-token.ts';
import { brokerParts, PHONE_ID as ID, PHONE as SUBJECT } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';

const METHODS = ['read', 'acquire', 'save', 'release', 'markRead', 'take', 'ping'] as const;

test('a read from memory calls no store method, sets no timer, and returns the cached bytes', async () => {
  const watched = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 }));
  const { broker } = brokerParts({ store: watched.store });
  const read = () => broker.read({ subject: SUBJECT, id: ID, region: 'CN', sessionIssuedAt: systemClock.now() });
  const first = await read();
  const storeCalls = () => METHODS.map((name) => watched.calls(name));
  const callsBefore = storeCalls();
  let timers = 0;
  const hook = createHook({
    init(_id, type) {
      if (type === 'Timeout') timers += 1;
    },
  });
  onTestFinished(() => void hook.disable());
  const serialised = vi.spyOn(JSON, 'stringify');
  hook.enable();
  const answers: ServedToken[] = [];
  for (let round = 0; round < 100; round += 1) answers.push(await read());
  const timersOfReads = timers;
  setTimeout(() => undefined, 0);
  hook.disable();
  onTestFinished(() => serialised.mockRestore());
  expect(serialised).not.toHaveBeenCalled();
  for (const answer of answers) expect(answer).toEqual(first);
  expect([timersOfReads, timers - timersOfReads]).toEqual([0, 1]);
  expect(storeCalls()).toEqual(callsBefore);
});
