import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { VendorLogin } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, follow, PHONE, renewalRequest } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 60_000;
const [FAILING, SLOW, SLOWEST] = ['alice', 'bob', 'carol'].map((unionId) => ({ ...PHONE, unionId })) as [
  Subject,
  Subject,
  Subject,
];
const LATENCY_MS = new Map([
  [FAILING.unionId, 100],
  [SLOW.unionId, 2_000],
  [SLOWEST.unionId, 4_000],
]);

/** A replica whose logins for one account fail after 100 ms. Those for the others succeed after 2 s, or 4 s. */
function createReplica() {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const vendor: VendorLogin = {
    async login({ subject }) {
      await sleep(clock, LATENCY_MS.get(subject.unionId) ?? 0);
      if (subject.unionId === FAILING.unionId) throw new BrokerError('vendor_rejected');
      const fields = { accessId: '1', accessToken: 'token' };
      return { fields, issuedAt: clock.now(), expiresAt: clock.now() + LIFE_MS };
    },
  };
  const { store: watched, down } = watchedStore(store);
  return { ...brokerParts({ clock, store: watched, vendor }), down, clock, pass };
}

type Replica = ReturnType<typeof createReplica>;

test.each<[string, (replica: Replica, subject: Subject) => Promise<unknown>, (replica: Replica) => Promise<unknown>]>([
  [
    'renewal',
    ({ renewal }, subject) => renewal.renew(renewalRequest({ subject })),
    async ({ store }) => (await store.terminals.read(subjectId(SLOW))).record,
  ],
  [
    'login for an accessId',
    ({ accessIds }, subject) => accessIds.obtain(subject, 'CN'),
    ({ store }) => store.accounts.identify(SLOW.unionId),
  ],
])('a %s that fails during the shutdown does not end the wait for the others', async (kind, start, find) => {
  const replica = createReplica();
  for (const subject of [FAILING, SLOW]) start(replica, subject).catch(() => undefined);
  await replica.pass(10);
  const settling = follow((kind === 'renewal' ? replica.renewal : replica.accessIds).settle(9_000));
  await replica.pass(1_000);
  expect(settling.result).toBe('waits');
  await replica.pass(1_500);
  expect(settling.result).toBeUndefined();
  expect(await find(replica)).toBeDefined();
});

describe('the end of a replica', () => {
  // The login of 2 s is for a token, and that of 4 s for an accessId.
  test.each([
    ['waits for the running logins, also for that for an accessId', 9_000, 0, 3_900, ['1', '1']],
    ['waits then until the store has their tokens', 9_000, 5_050, 5_000, ['1', '1']],
    ['waits no longer than its time in all', 3_000, 60_000, 2_900, [undefined, undefined]],
  ])('%s', async (_, timeoutMs, storeTakesTokensAtMs, waitsAtMs, stored) => {
    const { renewal, accessIds, settle, store, down, clock, pass } = createReplica();
    down.add('save').add('restore');
    clock.setTimer(() => down.clear(), storeTakesTokensAtMs);
    void renewal.renew(renewalRequest({ subject: SLOW }));
    void accessIds.obtain(SLOWEST, 'CN');
    const settling = follow(settle(timeoutMs));
    await pass(waitsAtMs);
    expect(settling.result).toBe('waits');
    await pass(200);
    expect(settling.result).toBeUndefined();
    const { record } = await store.terminals.read(subjectId(SLOW));
    const identity = await store.accounts.identify(SLOWEST.unionId);
    expect([record?.token.fields['accessId'], identity?.accessId]).toEqual(stored);
  });
});
