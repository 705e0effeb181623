import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { VendorLogin } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 60_000;
const FAILING: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const SLOW: Subject = { app: 'default', unionId: 'bob', uniqueId: 'phone' };

/** A replica whose logins for one account fail after 100 ms, and those for the other succeed after 2 s. */
function createReplica() {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const vendor: VendorLogin = {
    async login({ subject }) {
      await sleep(clock, subject.unionId === FAILING.unionId ? 100 : 2_000);
      if (subject.unionId === FAILING.unionId) throw new BrokerError('vendor_rejected');
      const fields = { accessId: '1', accessToken: 'token' };
      return { fields, issuedAt: clock.now(), expiresAt: clock.now() + LIFE_MS };
    },
  };
  return { ...brokerParts({ clock, store, vendor }), pass };
}

/** Notes whether the promise has ended, and how. */
function watch(promise: Promise<unknown>): { state: 'runs' | 'done' | Error } {
  const watched: ReturnType<typeof watch> = { state: 'runs' };
  promise.then(
    () => {
      watched.state = 'done';
    },
    (error: Error) => {
      watched.state = error;
    },
  );
  return watched;
}

test('a renewal that fails during the shutdown does not end the wait for the other renewals', async () => {
  const { renewal, store, pass } = createReplica();
  for (const subject of [FAILING, SLOW]) {
    const id = subjectId(subject);
    const request = { id, subject, region: 'CN', known: undefined, cause: 'new', urgency: 'foreground' } as const;
    renewal.renew({ ...request, sessionIssuedAt: undefined, satisfies: () => true }).catch(() => undefined);
  }
  await pass(10);
  const settling = watch(renewal.settle(9_000));
  await pass(1_000);
  expect(settling.state).toBe('runs');
  await pass(1_500);
  expect(settling.state).toBe('done');
  expect((await store.terminals.read(subjectId(SLOW))).record).toBeDefined();
});

test('a login for an accessId that fails during the shutdown does not end the wait for the others', async () => {
  const { accessIds, store, pass } = createReplica();
  for (const subject of [FAILING, SLOW]) accessIds.obtain(subject, 'CN').catch(() => undefined);
  await pass(10);
  const settling = watch(accessIds.settle(9_000));
  await pass(1_000);
  expect(settling.state).toBe('runs');
  await pass(1_500);
  expect(settling.state).toBe('done');
  expect(await store.accounts.identify(SLOW.unionId)).toMatchObject({ accessId: '1' });
});
