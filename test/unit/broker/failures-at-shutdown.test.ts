import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { VendorLogin } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, follow, renewalRequest } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 60_000;
const FAILING: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const SLOW: Subject = { app: 'default', unionId: 'bob', uniqueId: 'phone' };
const SLOWEST: Subject = { app: 'default', unionId: 'carol', uniqueId: 'phone' };
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
  return { ...brokerParts({ clock, store: watched, vendor }), down, pass };
}

test('a renewal that fails during the shutdown does not end the wait for the other renewals', async () => {
  const { renewal, store, pass } = createReplica();
  for (const subject of [FAILING, SLOW]) {
    renewal.renew(renewalRequest({ subject })).catch(() => undefined);
  }
  await pass(10);
  const settling = follow(renewal.settle(9_000));
  await pass(1_000);
  expect(settling.result).toBe('waits');
  await pass(1_500);
  expect(settling.result).toBeUndefined();
  expect((await store.terminals.read(subjectId(SLOW))).record).toBeDefined();
});

test('a login for an accessId that fails during the shutdown does not end the wait for the others', async () => {
  const { accessIds, store, pass } = createReplica();
  for (const subject of [FAILING, SLOW]) accessIds.obtain(subject, 'CN').catch(() => undefined);
  await pass(10);
  const settling = follow(accessIds.settle(9_000));
  await pass(1_000);
  expect(settling.result).toBe('waits');
  await pass(1_500);
  expect(settling.result).toBeUndefined();
  expect(await store.accounts.identify(SLOW.unionId)).toMatchObject({ accessId: '1' });
});

describe('the end of a replica', () => {
  /**
   * A replica that ends within `timeoutMs`, during a login of 2 s for a token, which the store does not take, and one
   * of 4 s for an accessId.
   */
  async function endingReplica(timeoutMs: number) {
    const { renewal, accessIds, settle, store, down, pass } = createReplica();
    down.add('save').add('restore');
    void renewal.renew(renewalRequest({ subject: SLOW }));
    void accessIds.obtain(SLOWEST, 'CN');
    await pass(10);
    return { settling: follow(settle(timeoutMs)), store, down, pass };
  }

  test('waits for the running logins, also for that for an accessId', async () => {
    const { settling, store, down, pass } = await endingReplica(9_000);
    down.clear();
    await pass(3_900);
    expect(settling.result).toBe('waits');
    await pass(200);
    expect(settling.result).toBeUndefined();
    expect((await store.terminals.read(subjectId(SLOW))).record).toBeDefined();
    expect(await store.accounts.identify(SLOWEST.unionId)).toMatchObject({ accessId: '1' });
  });

  test('waits then until the store has their tokens', async () => {
    const { settling, store, down, pass } = await endingReplica(9_000);
    await pass(5_000);
    expect(settling.result).toBe('waits');
    down.clear();
    await pass(200);
    expect(settling.result).toBeUndefined();
    expect((await store.terminals.read(subjectId(SLOW))).record).toBeDefined();
  });

  test('waits no longer than its time in all', async () => {
    const { settling, pass } = await endingReplica(3_000);
    await pass(2_900);
    expect(settling.result).toBe('waits');
    await pass(200);
    expect(settling.result).toBeUndefined();
  });
});
