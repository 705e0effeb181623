import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { brokerParts, PHONE_ID as ID, PHONE, renewalRequest } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';

const newStore = () => createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });

/** Two replicas with one store and one vendor. */
function twoReplicas() {
  const [store, vendor] = [newStore(), new ScriptedLogin()];
  return { store, vendor, first: brokerParts({ store, vendor }), second: brokerParts({ store, vendor }) };
}

describe('a renewal', () => {
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
