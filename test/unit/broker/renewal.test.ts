import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { LEASE_MS } from '../../../src/token/renewal-timing.ts';
import { brokerParts, PHONE_ID as ID, renewalRequest } from '../../support/broker-parts.ts';
import { claimLeases } from '../../support/due-claims.ts';
import { eventually } from '../../support/eventually.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

/** Replicas in one process. Each has its own broker; they share one store and one vendor. */
function createReplicas(count: number, loginBudgetMs = 5_000, clock: Clock = systemClock) {
  const store = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const vendor = new ScriptedLogin(clock);
  const replicas = Array.from({ length: count }, () => brokerParts({ clock, store, vendor, loginBudgetMs }));
  return { store, vendor, replicas };
}

describe('a renewal', () => {
  test('keeps its lease while the login runs, even past the original end of the lease', async () => {
    const { clock, pass } = virtualClock();
    const { store, vendor, replicas } = createReplicas(2, 5_000, clock);
    vendor.latencyMs = LEASE_MS + 1_000;
    const [first, second] = replicas.map(({ renewal }) => renewal.renew(renewalRequest()).catch((error) => error.code));
    await pass(2 * LEASE_MS);
    expect(await Promise.all([first, second])).toContainEqual(
      expect.objectContaining({ record: expect.objectContaining({ region: 'CN' }) }),
    );
    expect(vendor.requests).toHaveLength(1);
    expect((await store.terminals.read(ID)).record).toBeDefined();
  });

  test.each([200, 60_000])('acquires a lease of 5 s, whatever its login budget: %i ms', async (loginBudgetMs) => {
    const { store, vendor, replicas } = createReplicas(1, loginBudgetMs);
    vendor.latencyMs = 100;
    const renewal = replicas[0]?.renewal.renew(renewalRequest());
    await eventually(() => vendor.requests.length === 1, { everyMs: 5 });
    const answer = await store.terminals.acquire(ID, 1);
    if (answer.kind !== 'held') throw new Error(answer.kind);
    expect(answer.heldForMs).toBeGreaterThan(4_000);
    expect(answer.heldForMs).toBeLessThanOrEqual(LEASE_MS);
    await renewal;
  });

  test.each([1_000, 5_000, 60_000])(
    'gives its login the whole budget, however little the token has left: %i ms',
    async (leftMs) => {
      const { store, vendor, replicas } = createReplicas(1, 7_500);
      vendor.lifeMs = leftMs;
      const known = (await replicas[0]?.renewal.renew(renewalRequest()))?.record;
      await replicas[0]?.renewal.renew(renewalRequest({ known, cause: 'due', satisfies: () => false }));
      expect(vendor.requests.map(({ budgetMs }) => budgetMs)).toEqual([7_500, 7_500]);
      await store.close();
    },
  );

  test('keeps the old token when it fails, and the due queue schedules a retry', async () => {
    const { store, vendor, replicas } = createReplicas(1);
    const known = (await replicas[0]?.renewal.renew(renewalRequest()))?.record;
    vendor.failure = new BrokerError('vendor_unavailable');
    await expect(replicas[0]?.renewal.renew(renewalRequest({ satisfies: () => false }))).rejects.toThrow(BrokerError);
    expect((await store.terminals.read(ID)).record).toEqual(known);
    const { nextInMs } = await claimLeases(store, 10, 1_000);
    expect(nextInMs).toBeGreaterThan(6_000);
    expect(nextInMs).toBeLessThan(22_000);
  });
});
