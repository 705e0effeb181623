import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { SHARDS } from '../../../src/store/redis/keys.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TerminalStore, TokenStore } from '../../../src/token/ports.ts';
import { brokerParts, PHONE_ID as ID, PHONE, renewalRequest } from '../../support/broker-parts.ts';
import { takeLease } from '../../support/due-claims.ts';
import { eventually } from '../../support/eventually.ts';
import { makeDue } from '../../support/make-due.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

/** A store that grants a lease and answers after `delayMs`. */
function withSlowLease(store: TokenStore, delayMs: number): TokenStore {
  const acquire: TerminalStore['acquire'] = async (...args) => {
    const answer = await store.terminals.acquire(...args);
    await sleep(delayMs);
    return answer;
  };
  const terminals = new Proxy(store.terminals, {
    get: (target, name: keyof TerminalStore) => (name === 'acquire' ? acquire : target[name].bind(target)),
  });
  return { ...store, terminals };
}

const newStore = () => createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });

/** Two replicas with one store and one vendor. */
function twoReplicas() {
  const [store, vendor] = [newStore(), new ScriptedLogin()];
  return { store, vendor, first: brokerParts({ store, vendor }), second: brokerParts({ store, vendor }) };
}

describe('a background renewal', () => {
  test('logs in for no terminal that was logged out after the claim', async () => {
    const { store, vendor, renewal, cache } = brokerParts();
    await renewal.renew(renewalRequest());
    await makeDue(store, ID, systemClock.now());
    await eventually(async () => expect((await store.dueQueue.claim(SHARDS)).ids).toEqual([ID]));
    await store.terminals.remove(ID);
    expect(await renewal.renewDue(ID, () => undefined)).toBeUndefined();
    expect(vendor.requests).toHaveLength(1);
    expect((await store.terminals.read(ID)).record).toBeUndefined();
    expect(cache.tokens.find(ID)).toBeUndefined();
    expect((await store.terminals.acquire(ID, 100)).kind).toBe('granted');
  });

  test('of an app fails after a logout or an erasure, but requests that arrive after it log in again, on any replica', async () => {
    for (const end of ['logout', 'erasure']) {
      const { store, vendor, first, second } = twoReplicas();
      vendor.latencyMs = 200;
      const reads = [1, 2].map(() => first.renewal.renew(renewalRequest({ sessionIssuedAt: systemClock.now() })));
      const ended = Promise.allSettled(reads);
      await eventually(() => vendor.requests.length === 1);
      await (end === 'logout' ? store.terminals.remove(ID) : store.accounts.erase('alice'));
      await sleep(2);
      const later = [first, first, second].map(({ renewal }) =>
        renewal.renew(renewalRequest({ sessionIssuedAt: systemClock.now() })),
      );
      const code = end === 'logout' ? 'session_forbidden' : 'session_invalid';
      for (const outcome of await ended) expect(outcome).toMatchObject({ status: 'rejected', reason: { code } });
      const records = (await Promise.all(later)).map(({ record }) => record);
      const stored = (await store.terminals.read(ID)).record;
      for (const record of records) expect(record).toEqual(stored);
      expect(vendor.requests).toHaveLength(2);
    }
  });

  test('is shared with a request that arrives while it runs', async () => {
    const { vendor, renewal, renewInBackground } = brokerParts();
    const known = (await renewal.renew(renewalRequest())).record;
    vendor.latencyMs = 100;
    const background = renewInBackground(ID);
    await eventually(() => vendor.requests.length === 2);
    const renewed = await renewal.renew(
      renewalRequest({ known, cause: 'due', satisfies: ({ generation }) => generation > known.generation }),
    );
    expect(renewed.record).toEqual((await background).record);
    expect(renewed.outcome).toBe('waited');
    expect(vendor.requests).toHaveLength(2);
  });
});

describe('a request that waits for the login of another replica', () => {
  test('fails with the logout, even if it gets the lease before the announcement', async () => {
    const { store, vendor, renewal } = brokerParts();
    const lease = await takeLease(store, ID, 10_000);
    const { acquire } = store.terminals;
    const kinds: string[] = [];
    store.terminals.acquire = async (...args) => {
      const granted = await acquire.apply(store.terminals, args);
      kinds.push(granted.kind);
      if (granted.kind === 'granted') setTimeout(() => void store.terminals.remove(ID), 1);
      return granted;
    };
    const waiting = renewal.renew(renewalRequest());
    await eventually(() => kinds.includes('held'));
    await store.terminals.release(lease, undefined);
    await expect(waiting).rejects.toMatchObject({ code: 'session_forbidden' });
    expect(vendor.requests).toHaveLength(0);
    expect((await acquire.call(store.terminals, ID, 100)).kind).toBe('granted');
  });
});

describe('an erased account', () => {
  test('is not logged in again for an older session whose read waited during the erasure', async () => {
    const { store, vendor, first, second } = twoReplicas();
    const sessionIssuedAt = systemClock.now() - 1_000;
    const read = (replica = first) => replica.broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt });
    vendor.latencyMs = 150;
    const reads = [read(first), read(second)].map(async (reading) => reading);
    await eventually(() => vendor.requests.length === 1);
    await store.accounts.erase(PHONE.unionId);
    for (const reading of reads) await expect(reading).rejects.toBeInstanceOf(BrokerError);
    await sleep(300);
    expect(vendor.requests).toHaveLength(1);
    expect(await store.accounts.find(PHONE.unionId)).toMatchObject({ identity: undefined, records: [] });
    await expect(read(second)).rejects.toMatchObject({ code: 'session_invalid' });
    expect(vendor.requests).toHaveLength(1);
    const newerSession = { subject: PHONE, region: 'CN', sessionIssuedAt: systemClock.now() + 1_000 };
    expect((await second.broker.read(newerSession)).etag).toBeTruthy();
  });
});

describe('a failure that concerns only its caller', () => {
  test('does not fail other requests that wait for the same token', async () => {
    const store = newStore();
    const vendor = new ScriptedLogin();
    const slowStore = withSlowLease(store, 50);
    const [first, second] = [brokerParts({ store: slowStore, vendor }), brokerParts({ store, vendor })];
    const withoutRegion = first.renewal.renew(renewalRequest({ region: undefined }));
    const outcomes = await Promise.allSettled([
      withoutRegion,
      first.renewal.renew(renewalRequest()),
      first.renewal.renew(renewalRequest({ region: undefined })),
      second.renewal.renew(renewalRequest()),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled']);
    expect(vendor.requests).toHaveLength(1);
  });
});
