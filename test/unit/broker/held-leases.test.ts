import { describe, expect, onTestFinished, test } from 'vitest';
import { HeldLeases } from '../../../src/broker/held-leases.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';

const ID = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });

/** `HeldLeases` with one lease. */
async function holdLease(durationMs = 300) {
  const { store, down, calls } = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 }));
  const warnings: string[] = [];
  const silent = () => undefined;
  const warn = (_fields: object, message: string) => void warnings.push(message);
  const log = { debug: silent, info: silent, warn, error: silent };
  const { terminals } = store;
  const heldLeases = new HeldLeases({ terminals, clock: systemClock, log, heartbeatMs: durationMs / 3 });
  const answer = await store.terminals.acquire(ID, durationMs);
  if (answer.kind !== 'granted') throw new Error(answer.kind);
  const { lease } = answer;
  heldLeases.add(lease, systemClock.monotonic());
  onTestFinished(() => heldLeases.remove(lease));
  const isFree = async () => (await store.terminals.acquire(ID, 60_000)).kind === 'granted';
  return { heldLeases, store, lease, down, calls, warnings, isFree };
}

describe('a held lease', () => {
  test('is extended, and still held after twice its duration', async () => {
    const { calls, lease, isFree } = await holdLease(900);
    const acquiredAt = systemClock.now();
    await eventually(() => systemClock.now() - acquiredAt > 2 * lease.durationMs);
    expect(calls('extend')).toBeGreaterThanOrEqual(2);
    expect(await isFree()).toBe(false);
  });

  test('expires after it is no longer extended', async () => {
    const { heldLeases, lease, calls, isFree } = await holdLease();
    heldLeases.remove(lease);
    await eventually(isFree);
    expect(calls('extend')).toBe(0);
  });

  test('is extended again after a failed extension', async () => {
    const { down, calls, warnings, isFree } = await holdLease(1_500);
    down.add('extend');
    await eventually(() => warnings.includes('leases could not be extended'));
    down.delete('extend');
    const failedExtensions = calls('extend');
    await eventually(() => calls('extend') >= failedExtensions + 2);
    expect(await isFree()).toBe(false);
  });

  test('is no longer extended after it is lost, and the loss is logged once', async () => {
    const { store, lease, calls, warnings, isFree } = await holdLease();
    await store.terminals.release(lease, undefined);
    expect(await isFree()).toBe(true);
    await eventually(() => warnings.length > 0);
    const extensions = calls('extend');
    const lostAt = systemClock.now();
    await eventually(() => systemClock.now() - lostAt > lease.durationMs);
    expect(calls('extend')).toBe(extensions);
    expect(warnings).toEqual([expect.stringContaining('a lease was lost')]);
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
    const { heldLeases, store, calls } = await holdLease(900);
    for (const unionId of ['bob', 'carol', 'dave']) {
      const answer = await store.terminals.acquire(subjectId({ app: 'default', unionId, uniqueId: 'phone' }), 900);
      if (answer.kind !== 'granted') throw new Error(answer.kind);
      heldLeases.add(answer.lease, systemClock.monotonic());
      onTestFinished(() => heldLeases.remove(answer.lease));
    }
    await eventually(() => calls('extend') === 1, { everyMs: 5 });
    const startedAt = systemClock.now();
    await eventually(() => calls('extend') === 3, { everyMs: 5 });
    expect(systemClock.now() - startedAt).toBeGreaterThan(300);
  });
});
