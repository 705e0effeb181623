import { describe, expect, onTestFinished, test } from 'vitest';
import { createHeldLeases } from '../../../src/broker/held-leases.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { LEASE_MS } from '../../../src/token/renewal-timing.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { PHONE_ID as ID, PHONE } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { deferred } from '../../support/deferred.ts';
import { takeLease } from '../../support/due-claims.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

/** The held leases with one lease, in virtual time. */
async function holdLease(durationMs = LEASE_MS) {
  const { clock, pass } = virtualClock();
  const { store, down, late, calls } = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 20 }));
  const { logger: log, lines } = captureLog('debug');
  const { terminals } = store;
  const heldLeases = createHeldLeases({ terminals, clock, log });
  const lease = await takeLease(store, ID, durationMs);
  heldLeases.add(lease, clock.monotonic());
  onTestFinished(() => heldLeases.remove(lease));
  const isFree = async () => (await store.terminals.acquire(ID, 60_000)).kind === 'granted';
  return { clock, pass, heldLeases, store, lease, down, late, calls, lines, isFree };
}

describe('a held lease', () => {
  test('is extended, and still held after twice its duration', async () => {
    const { pass, calls, lease, isFree } = await holdLease();
    await pass(2 * lease.durationMs);
    expect(calls('extend')).toBeGreaterThanOrEqual(2);
    expect(await isFree()).toBe(false);
  });

  test('expires after it is no longer extended', async () => {
    const { pass, heldLeases, lease, calls, isFree } = await holdLease();
    heldLeases.remove(lease);
    await pass(lease.durationMs);
    expect(await isFree()).toBe(true);
    expect(calls('extend')).toBe(0);
  });

  test('is extended again after a failed extension', async () => {
    const { pass, down, lease, calls, lines, isFree } = await holdLease();
    down.add('extend');
    await pass(lease.durationMs / 3);
    expect(lines()).toMatchObject([{ msg: 'leases could not be extended', err: { code: 'store_unavailable' } }]);
    down.delete('extend');
    const failedExtensions = calls('extend');
    await pass(lease.durationMs);
    expect(calls('extend')).toBeGreaterThanOrEqual(failedExtensions + 2);
    expect(await isFree()).toBe(false);
  });

  test('counts as held for its duration after the last question that the store answered', async () => {
    const { pass, heldLeases, down, lease } = await holdLease();
    await pass(lease.durationMs / 3);
    down.add('extend');
    await pass(lease.durationMs - 1);
    expect(heldLeases.isHeld(lease)).toBe(true);
    await pass(1);
    expect(heldLeases.isHeld(lease)).toBe(false);
  });

  test('is not held again by an extension that was under way when its login ended', async () => {
    const { pass, heldLeases, late, lease } = await holdLease();
    const answered = deferred();
    late.set('extend', answered.promise);
    await pass(lease.durationMs / 3);
    heldLeases.remove(lease);
    answered.resolve();
    await pass(0);
    expect(heldLeases.isHeld(lease)).toBe(false);
  });

  test('is no longer extended after it is lost, and the loss is logged once', async () => {
    const { pass, store, lease, calls, lines, isFree } = await holdLease();
    await store.terminals.release(lease, undefined);
    expect(await isFree()).toBe(true);
    await pass(lease.durationMs / 3);
    expect(lines()).toHaveLength(1);
    const extensions = calls('extend');
    await pass(lease.durationMs);
    expect(calls('extend')).toBe(extensions);
    expect(lines()).toMatchObject([{ msg: expect.stringContaining('a lease was lost') }]);
  });

  test('is free for other replicas at once after all leases are released', async () => {
    const { heldLeases, calls, isFree } = await holdLease(60_000);
    await heldLeases.releaseAll();
    expect(await isFree()).toBe(true);
    await heldLeases.releaseAll();
    expect(calls('release')).toBe(1);
  });

  test('does not prevent the shutdown when the store fails to release it', async () => {
    const { heldLeases, down, isFree } = await holdLease(60_000);
    down.add('release');
    await expect(heldLeases.releaseAll()).resolves.toBeUndefined();
    expect(await isFree()).toBe(false);
  });

  test('shares one command with all other leases', async () => {
    const { clock, pass, heldLeases, store, calls } = await holdLease();
    for (const unionId of ['bob', 'carol', 'dave']) {
      const lease = await takeLease(store, subjectId({ ...PHONE, unionId }));
      heldLeases.add(lease, clock.monotonic());
      onTestFinished(() => heldLeases.remove(lease));
    }
    for (const extensions of [1, 2, 3]) {
      await pass(LEASE_MS / 3);
      expect(calls('extend')).toBe(extensions);
    }
  });
});
