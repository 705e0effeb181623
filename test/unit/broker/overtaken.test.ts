import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { RenewalRequest } from '../../../src/broker/renewal-request.ts';
import { MemoryTokenStore } from '../../../src/store/memory/memory-token-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

function request(overrides: Partial<RenewalRequest> = {}): RenewalRequest {
  const usual = { id: ID, subject: SUBJECT, region: 'CN', known: undefined, sessionIssuedAt: undefined };
  return { ...usual, cause: 'new', satisfies: () => true, ...overrides };
}

/** A store whose method answers so many ms late. */
function slowedDown(store: TokenStore, name: 'acquire' | 'save', ms: number): TokenStore {
  return new Proxy(store, {
    get(target, property: keyof TokenStore) {
      const method = target[property];
      return async (...args: unknown[]) => {
        const answer: unknown = await Reflect.apply(method, target, args);
        if (property === name) await sleep(ms);
        return answer;
      };
    },
  });
}

const newStore = () => new MemoryTokenStore({ clock: systemClock, terminalsPerAccount: 20 });

describe('a renewal nobody asked for', () => {
  test('does not log in a terminal that was logged out since it was found to be due', async () => {
    const { store, vendor, renewal } = brokerParts();
    const known = (await renewal.renew(request()))?.record;
    await store.remove(ID);
    const unasked = request({ known, cause: 'unasked', satisfies: () => false });
    expect(await renewal.renew(unasked)).toBeUndefined();
    expect(vendor.requests).toHaveLength(1);
    expect((await store.read(ID)).record).toBeUndefined();
    expect((await store.acquire(ID, 100)).kind).toBe('granted');
  });

  test('is not a reader’s answer where it found no place in the login budget', async () => {
    const { vendor, renewal, store } = brokerParts();
    const known = (await renewal.renew(request()))?.record;
    vendor.latencyMs = 50;
    vendor.failure = new BrokerError('vendor_busy');
    const unasked = renewal.renew(request({ known, cause: 'unasked', satisfies: () => false }));
    await eventually(() => vendor.requests.length === 2);
    const asked = renewal.renew(
      request({ known, cause: 'refused', satisfies: ({ generation }) => generation > (known?.generation ?? 0) }),
    );
    vendor.failure = undefined;
    await expect(unasked).rejects.toMatchObject({ code: 'vendor_busy' });
    expect((await asked)?.record.generation).toBeGreaterThan(known?.generation ?? Number.NaN);
    expect((await store.read(ID)).record?.generation).toBeGreaterThan(known?.generation ?? Number.NaN);
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
    await store.erase(SUBJECT.unionId);
    for (const reading of reads) await expect(reading).rejects.toBeInstanceOf(BrokerError);
    await sleep(300);
    expect(vendor.requests).toHaveLength(1);
    expect(await store.account(SUBJECT.unionId)).toBeUndefined();
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
    expect((await store.acquire(ID, 100)).kind).toBe('held');
    await eventually(async () => expect((await store.acquire(ID, 100)).kind).toBe('granted'), { timeoutMs: 1_000 });
  });

  test('to tell of a logout takes the token out of memory once it has', async () => {
    const store = newStore();
    // Nothing of what is announced arrives.
    store.subscribe = () => undefined;
    const { broker, vendor, cache } = brokerParts({ store: slowedDown(store, 'save', 400) });
    vendor.latencyMs = 100;
    const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: systemClock.now() });
    await eventually(() => vendor.requests.length === 1);
    await store.remove(ID);
    await reading;
    expect(cache.kept(ID)).toBeDefined();
    await eventually(() => expect(cache.kept(ID)).toBeUndefined(), { timeoutMs: 2_000 });
    expect((await store.read(ID)).record).toBeUndefined();
  });
});
