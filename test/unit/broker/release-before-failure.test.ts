import { expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** A replica whose logins fail. The store releases a lease after `releaseMs`. */
function createReplica(releaseMs: number) {
  const { clock, pass } = virtualClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const parts = brokerParts({ clock, store });
  parts.vendor.failure = new BrokerError('vendor_rejected');
  const { terminals } = store;
  const release = terminals.release.bind(terminals);
  terminals.release = async (...args) => {
    await sleep(clock, releaseMs);
    await release(...args);
  };
  /** Waits for the failure. Returns what the next request for the lease gets at that moment, and when that was. */
  const atFailure = async (login: Promise<unknown>) => {
    const startedAt = clock.monotonic();
    const next = login.catch(async ({ code }: BrokerError) => {
      const { kind } = await terminals.acquire(ID, 1_000);
      return { code, kind, afterMs: clock.monotonic() - startedAt };
    });
    await pass(2_000);
    return next;
  };
  return { ...parts, clock, atFailure };
}

test('an app that gets the failure of a login may try again at once: the lease has been released', async () => {
  const { broker, clock, atFailure } = createReplica(50);
  const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
  expect(await atFailure(reading)).toEqual({ code: 'vendor_rejected', kind: 'granted', afterMs: 50 });
});

test('an operator that gets the failure of a login for an accessId may try again at once', async () => {
  const { accessIds, atFailure } = createReplica(50);
  expect(await atFailure(accessIds.obtain(SUBJECT, 'CN'))).toEqual({
    code: 'vendor_rejected',
    kind: 'granted',
    afterMs: 50,
  });
});

test('an app waits for the release no longer than for the store in all', async () => {
  const { broker, clock, atFailure } = createReplica(1_000);
  const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
  expect(await atFailure(reading)).toEqual({ code: 'vendor_rejected', kind: 'held', afterMs: 180 });
});
