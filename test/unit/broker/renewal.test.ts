import { describe, expect, test } from 'vitest';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** Replicas in one process: each with its own broker, all on one store and one vendor. */
function replicas(count: number, loginBudgetMs = 5_000) {
  const store = createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });
  const vendor = new ScriptedLogin();
  const built = Array.from({ length: count }, () => brokerParts({ store, vendor, loginBudgetMs }));
  return { store, vendor, replicas: built };
}

function request(overrides: Partial<RenewalRequest> = {}): RenewalRequest {
  return {
    id: ID,
    subject: SUBJECT,
    region: 'CN',
    known: undefined,
    cause: 'new',
    sessionIssuedAt: undefined,
    satisfies: () => true,
    ...overrides,
  };
}

describe('a renewal', () => {
  test('of one subject is one login over ten replicas', async () => {
    const { vendor, replicas: all } = replicas(10);
    vendor.latencyMs = 200;
    const renewals = await Promise.all(all.map(({ renewal }) => renewal.renew(request())));
    expect(vendor.requests).toHaveLength(1);
    expect(new Set(renewals.map((renewed) => renewed?.record.generation)).size).toBe(1);
    expect(renewals.filter((renewed) => renewed?.outcome === 'login')).toHaveLength(1);
  });

  test('tells the waiting replicas of a failure, which then do not try anew', async () => {
    const { vendor, replicas: all } = replicas(5);
    vendor.latencyMs = 100;
    vendor.failure = new BrokerError('vendor_rejected', { vendorCode: 10901050 });
    const outcomes = await Promise.allSettled(all.map(({ renewal }) => renewal.renew(request())));
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual(
      Array(5).fill('vendor_rejected'),
    );
    expect(vendor.requests).toHaveLength(1);
  });

  test('is taken over from a replica that vanished, once its lease ran out', async () => {
    const { store, vendor, replicas: all } = replicas(1);
    await store.terminals.acquire(ID, 300);
    expect(await all[0]?.renewal.renew(request())).toMatchObject({ record: { region: 'CN' } });
    expect(vendor.requests).toHaveLength(1);
  });

  test('keeps its lease for as long as the login takes, even past the lease’s first end', async () => {
    const { store, vendor, replicas: all } = replicas(2, 200);
    vendor.latencyMs = 2_500;
    const [one, other] = all.map(({ renewal }) => renewal.renew(request()).catch((error) => error.code));
    expect(await Promise.all([one, other])).toContainEqual(
      expect.objectContaining({ record: expect.objectContaining({ region: 'CN' }) }),
    );
    expect(vendor.requests).toHaveLength(1);
    expect((await store.terminals.read(ID)).record).toBeDefined();
  });

  test('has a lease that outlives all the time its login may take', async () => {
    const { store, vendor, replicas: all } = replicas(1, 7_500);
    vendor.latencyMs = 100;
    const renewal = all[0]?.renewal.renew(request());
    await eventually(() => vendor.requests.length === 1, { everyMs: 5 });
    const answer = await store.terminals.acquire(ID, 1);
    expect(answer.kind === 'held' && answer.heldForMs).toBeGreaterThan(vendor.requests[0]?.budgetMs ?? 0);
    await renewal;
  });

  test('takes what somebody else has stored in place of a login', async () => {
    const { vendor, replicas: all } = replicas(2);
    const first = await all[0]?.renewal.renew(request());
    expect(await all[1]?.renewal.renew(request())).toEqual({ record: first?.record, outcome: 'waited' });
    expect(vendor.requests).toHaveLength(1);
  });

  test('that has to be newer than a given token logs in anew', async () => {
    const { vendor, replicas: all } = replicas(2);
    const known = (await all[0]?.renewal.renew(request()))?.record;
    if (!known) throw new Error('no record');
    const satisfies = (record: TokenRecord) => record.generation > known.generation;
    const renewed = await all[1]?.renewal.renew(request({ known, satisfies }));
    expect(renewed?.record.generation).toBeGreaterThan(known.generation);
    expect(vendor.requests).toHaveLength(2);
  });

  test('overtaken by a logout stores nothing and says so', async () => {
    const { store, vendor, replicas: all } = replicas(1);
    vendor.latencyMs = 150;
    const renewal = all[0]?.renewal.renew(request());
    await eventually(() => vendor.requests.length === 1);
    await store.terminals.remove(ID);
    await expect(renewal).rejects.toMatchObject({ code: 'session_forbidden' });
    expect((await store.terminals.read(ID)).record).toBeUndefined();
  });

  test('leaves time for another replica: it is given half of what its token has left, and at least a second', async () => {
    const { vendor, replicas: all } = replicas(1, 7_500);
    await all[0]?.renewal.renew(request());
    vendor.lifeMs = 5_000;
    const known = (await all[0]?.renewal.renew(request({ satisfies: () => false })))?.record;
    if (!known) throw new Error('no record');
    await all[0]?.renewal.renew(request({ known, satisfies: () => false }));
    const spent = { ...known, token: { ...known.token, expiresAt: systemClock.now() + 300 } };
    await all[0]?.renewal.renew(request({ known: spent, satisfies: () => false }));
    const budgets = vendor.requests.map(({ budgetMs }) => budgetMs);
    expect(budgets[0]).toBe(7_500);
    expect(budgets[2]).toBeGreaterThan(2_000);
    expect(budgets[2]).toBeLessThanOrEqual(2_375);
    expect(budgets[3]).toBe(1_000);
  });

  test('that fails is tried again later, and the token keeps its place in the schedule until then', async () => {
    const { store, vendor, replicas: all } = replicas(1);
    const known = (await all[0]?.renewal.renew(request()))?.record;
    vendor.failure = new BrokerError('vendor_unavailable');
    await expect(all[0]?.renewal.renew(request({ satisfies: () => false }))).rejects.toThrow(BrokerError);
    expect((await store.terminals.read(ID)).record).toEqual(known);
    const { nextInMs } = await store.dueQueue.claim(10, { shortest: 1_000, longest: 1_000 });
    expect(nextInMs).toBeGreaterThan(6_000);
    expect(nextInMs).toBeLessThan(22_000);
  });
});

describe('settling', () => {
  test('waits for what is under way and then holds nothing', async () => {
    const { store, vendor, replicas: all } = replicas(1);
    vendor.latencyMs = 200;
    const renewal = all[0]?.renewal.renew(request());
    await eventually(() => vendor.requests.length === 1);
    await all[0]?.renewal.settle(5_000);
    expect((await store.terminals.read(ID)).record).toBeDefined();
    expect((await store.terminals.acquire(ID, 100)).kind).toBe('granted');
    await renewal;
  });

  test('gives a lease back that is still held when the time is over', async () => {
    const { store, vendor, replicas: all } = replicas(1);
    vendor.latencyMs = 700;
    const renewal = all[0]?.renewal.renew(request());
    await eventually(() => vendor.requests.length === 1);
    await all[0]?.renewal.settle(50);
    expect((await store.terminals.acquire(ID, 100)).kind).toBe('granted');
    await renewal?.catch(() => undefined);
  });
});

describe('a lease that cannot be extended', () => {
  test('does not end the login: the token is saved where nothing newer stands', async () => {
    const watched = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 }));
    const { renewal, vendor, store } = brokerParts({ store: watched.store, loginBudgetMs: 200 });
    watched.down.add('extend');
    vendor.latencyMs = 1_500;
    await renewal.renew(request());
    expect(watched.calls('extend')).toBeGreaterThan(0);
    expect((await store.terminals.read(ID)).record).toBeDefined();
  });

  test('and cannot be given back runs out by itself, while the vendor’s error is passed on', async () => {
    const watched = watchedStore(createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 }));
    const { renewal, vendor } = brokerParts({ store: watched.store });
    watched.down.add('release');
    vendor.failure = new BrokerError('vendor_timeout');
    await expect(renewal.renew(request())).rejects.toMatchObject({ code: 'vendor_timeout' });
  });
});
