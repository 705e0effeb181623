import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TerminalStore, TokenStore } from '../../../src/token/ports.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { makeDue } from '../../support/make-due.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

function request(overrides: Partial<RenewalRequest> = {}): RenewalRequest {
  const usual = { id: ID, subject: SUBJECT, region: 'CN', known: undefined, sessionIssuedAt: undefined };
  return { ...usual, cause: 'new', satisfies: () => true, ...overrides };
}

/** A store whose method answers so many ms late. */
function slowedDown(store: TokenStore, name: 'acquire' | 'save', ms: number): TokenStore {
  const terminals = new Proxy(store.terminals, {
    get(target, property: keyof TerminalStore) {
      const method = target[property];
      return async (...args: unknown[]) => {
        const answer: unknown = await Reflect.apply(method, target, args);
        if (property === name) await sleep(ms);
        return answer;
      };
    },
  });
  return { ...store, terminals };
}

const newStore = () => createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });

describe('a renewal nobody asked for', () => {
  test('brings nothing back of a terminal that was logged out since it was claimed', async () => {
    const { store, renewal, cache } = brokerParts();
    await renewal.renew(request());
    await makeDue(store, ID, systemClock.now());
    const [claim] = (await store.dueQueue.claim(1, renewal.claimBounds)).claims;
    await store.terminals.remove(ID);
    if (!claim) throw new Error('nothing was claimed');
    await expect(renewal.renewClaimed(claim)).rejects.toMatchObject({ code: 'session_forbidden' });
    expect((await store.terminals.read(ID)).record).toBeUndefined();
    expect(cache.getStale(ID)).toBeUndefined();
    expect((await store.terminals.acquire(ID, 100)).kind).toBe('granted');
  });

  test('is not a reader’s answer where the terminal was logged out and in again meanwhile, on whichever replica', async () => {
    const store = newStore();
    const vendor = new ScriptedLogin();
    const [one, other] = [brokerParts({ store, vendor }), brokerParts({ store, vendor })];
    await one.renewal.renew(request());
    vendor.latencyMs = 200;
    const background = one.renewInBackground(ID);
    await eventually(() => vendor.requests.length === 2);
    await store.terminals.remove(ID);
    const asked = [one, other].map(({ renewal }) => renewal.renew(request()));
    await expect(background).rejects.toMatchObject({ code: 'session_forbidden' });
    const [mine, theirs] = await Promise.all(asked);
    expect(mine?.record).toEqual((await store.terminals.read(ID)).record);
    expect(theirs?.record).toEqual(mine?.record);
    expect(vendor.requests).toHaveLength(3);
  });

  test('is one that a reader waits for, who comes while it is under way', async () => {
    const { vendor, renewal, renewInBackground } = brokerParts();
    const known = (await renewal.renew(request())).record;
    vendor.latencyMs = 100;
    const background = renewInBackground(ID);
    await eventually(() => vendor.requests.length === 2);
    const asked = await renewal.renew(
      request({ known, cause: 'due', satisfies: ({ generation }) => generation > known.generation }),
    );
    expect(asked.record).toEqual((await background).record);
    expect(asked.outcome).toBe('waited');
    expect(vendor.requests).toHaveLength(2);
  });

  test('is not a reader’s answer where it found no place in the login budget, on whichever replica', async () => {
    const store = newStore();
    const vendor = new ScriptedLogin();
    const [one, other] = [brokerParts({ store, vendor }), brokerParts({ store, vendor })];
    const known = (await one.renewal.renew(request())).record;
    vendor.latencyMs = 50;
    vendor.failure = new BrokerError('vendor_busy');
    const background = one.renewInBackground(ID);
    await eventually(() => vendor.requests.length === 2);
    const satisfies: RenewalRequest['satisfies'] = ({ generation }) => generation > known.generation;
    const asked = [one, other].map(({ renewal }) => renewal.renew(request({ known, cause: 'refused', satisfies })));
    vendor.failure = undefined;
    await expect(background).rejects.toMatchObject({ code: 'vendor_busy' });
    const [mine, theirs] = await Promise.all(asked);
    expect(mine?.record.generation).toBeGreaterThan(known.generation);
    expect(theirs?.record).toEqual(mine?.record);
    expect(vendor.requests).toHaveLength(3);
  });
});

describe('an account that was erased', () => {
  test('while a read waited for another replica is not logged in again for a session from before', async () => {
    const store = newStore();
    const vendor = new ScriptedLogin();
    const [one, other] = [brokerParts({ store, vendor }), brokerParts({ store, vendor })];
    const sessionIssuedAt = systemClock.now() - 1_000;
    const read = (from = one) => from.broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt });
    vendor.latencyMs = 150;
    const reads = [read(one), read(other)].map(async (reading) => reading);
    await eventually(() => vendor.requests.length === 1);
    await store.accounts.erase(SUBJECT.unionId);
    for (const reading of reads) await expect(reading).rejects.toBeInstanceOf(BrokerError);
    await sleep(300);
    expect(vendor.requests).toHaveLength(1);
    expect(await store.accounts.find(SUBJECT.unionId)).toBeUndefined();
    await expect(read(other)).rejects.toMatchObject({ code: 'session_invalid' });
    expect(vendor.requests).toHaveLength(1);
    const later = { subject: SUBJECT, region: 'CN', sessionIssuedAt: systemClock.now() + 1_000 };
    expect((await other.broker.read(later)).etag).toBeTruthy();
  });
});

describe('a failure that is the caller’s own', () => {
  test('is not that of others who wait for the same', async () => {
    const store = newStore();
    const vendor = new ScriptedLogin();
    const slow = slowedDown(store, 'acquire', 50);
    const [one, other] = [brokerParts({ store: slow, vendor }), brokerParts({ store, vendor })];
    const without = one.renewal.renew(request({ region: undefined }));
    const outcomes = await Promise.allSettled([
      without,
      one.renewal.renew(request()),
      one.renewal.renew(request({ region: undefined })),
      other.renewal.renew(request()),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled']);
    expect(vendor.requests).toHaveLength(1);
  });
});

describe('a store that answers too late', () => {
  test('is given the lease back that it granted in the end', async () => {
    const store = newStore();
    const { renewal, vendor } = brokerParts({ store: slowedDown(store, 'acquire', 400) });
    expect((await renewal.renew(request()))?.outcome).toBe('login');
    expect(vendor.requests).toHaveLength(1);
    expect((await store.terminals.acquire(ID, 100)).kind).toBe('held');
    await eventually(async () => expect((await store.terminals.acquire(ID, 100)).kind).toBe('granted'), {
      timeoutMs: 1_000,
    });
  });

  test('to tell of a logout takes the token out of memory once it has', async () => {
    const store = newStore();
    // Nothing of what is announced arrives.
    store.announcements.subscribe = () => undefined;
    const { broker, vendor, cache } = brokerParts({ store: slowedDown(store, 'save', 400) });
    vendor.latencyMs = 100;
    const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: systemClock.now() });
    await eventually(() => vendor.requests.length === 1);
    await store.terminals.remove(ID);
    await reading;
    expect(cache.getStale(ID)).toBeDefined();
    await eventually(() => expect(cache.getStale(ID)).toBeUndefined(), { timeoutMs: 2_000 });
    expect((await store.terminals.read(ID)).record).toBeUndefined();
  });
});
