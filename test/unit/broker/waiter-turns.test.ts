import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { type BrokerError, LoginNotSent } from '../../../src/token/errors.ts';
import type { Announcement } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const REQUEST = {
  id: ID,
  subject: SUBJECT,
  region: 'CN',
  known: undefined,
  cause: 'new',
  urgency: 'foreground',
  sessionIssuedAt: undefined,
} as const;

/** A replica that waits for the lease of another one. The store grants leases after `acquireMs`. */
async function createWaiter({ acquireMs = 0 } = {}) {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const { terminals } = store;
  const answer = await terminals.acquire(ID, 60_000);
  if (answer.kind !== 'granted') throw new Error(answer.kind);
  const acquire = terminals.acquire.bind(terminals);
  terminals.acquire = async (id, durationMs) => {
    await sleep(clock, acquireMs);
    return acquire(id, durationMs);
  };
  // The test announces to the replica what it wants.
  const listeners: ((announcement: Announcement) => void)[] = [];
  const subscribe = (listener: (announcement: Announcement) => void) => void listeners.push(listener);
  const announcements = { subscribe, completeSince: () => 0 };
  const parts = brokerParts({ clock, store: { ...store, announcements } });
  const result: { outcome: unknown } = { outcome: 'waits' };
  const renew = () =>
    parts.renewal.renew({ ...REQUEST, satisfies: () => true }).then(
      ({ outcome }) => {
        result.outcome = outcome;
      },
      ({ code }: BrokerError) => {
        result.outcome = code;
      },
    );
  const announce = (announcement: Announcement) => {
    for (const listener of listeners) listener(announcement);
  };
  return { ...parts, clock, pass, terminals, lease: answer.lease, result, renew, announce };
}

test('each turn of a waiter gives the store the same time to answer, so a slow store causes no login beside the lease', async () => {
  const { pass, vendor, terminals, lease, result, renew } = await createWaiter({ acquireMs: 100 });
  void renew();
  await pass(5_000);
  expect(result.outcome).toBe('waits');
  expect(vendor.requests).toHaveLength(0);
  await terminals.release(lease, undefined);
  await pass(500);
  expect(result.outcome).toBe('login');
  expect(vendor.requests).toHaveLength(1);
});

test.each([
  ['goes on after an older logout that is announced again', -1, 'waits'],
  ['fails with a logout that may have come after it began', 0, 'session_forbidden'],
] as const)('a request that waits for the lease %s', async (_, laterMs, outcome) => {
  const { clock, pass, result, renew, announce } = await createWaiter();
  const generation = clock.now() + laterMs;
  void renew();
  await pass(100);
  announce({ kind: 'removed', id: ID, generation });
  await pass(100);
  expect(result.outcome).toBe(outcome);
});

test('a request whose own lease has expired does not fail with an announcement from before its next lease', async () => {
  const { pass, vendor, terminals, lease, result, renew, announce } = await createWaiter();
  void renew();
  await pass(100);
  // The other replica gives the lease back. The announcement of its failure arrives late.
  await terminals.release(lease, undefined);
  vendor.latencyMs = 100;
  vendor.failure = new LoginNotSent();
  await pass(200);
  expect(vendor.requests).toHaveLength(1);
  announce({ kind: 'failed', id: ID, generation: lease.generation, code: 'vendor_rejected' });
  vendor.failure = undefined;
  await pass(300);
  expect(result.outcome).toBe('login');
  expect(vendor.requests).toHaveLength(2);
});
