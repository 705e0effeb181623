import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { TestClock } from '../../support/test-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** Two replicas. The second receives no announcements, but assumes that it misses none. */
function createReplicas(clock: Clock) {
  const store: TokenStore = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const silentStore: TokenStore = { ...store, announcements: { subscribe: () => undefined, completeSince: () => 0 } };
  const vendor = new ScriptedLogin(clock);
  const watched = watchedStore(silentStore);
  const [subscribed, unsubscribed] = [store, watched.store].map((replicaStore) =>
    brokerParts({ clock, store: replicaStore, vendor }),
  );
  if (!subscribed || !unsubscribed) throw new Error('no replicas');
  const read = ({ broker }: typeof subscribed) =>
    broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
  return { vendor, watched, subscribed, unsubscribed, read };
}

describe('when an announcement is lost', () => {
  test('a replica that waits for another replica’s login still finds its token', async () => {
    const { vendor, subscribed, unsubscribed, read } = createReplicas(systemClock);
    vendor.latencyMs = 100;
    const startedAt = performance.now();
    const [first, second] = await Promise.all([read(subscribed), read(unsubscribed)]);
    // Well before the lease expires.
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(second.etag).toBe(first.etag);
    expect(vendor.requests).toHaveLength(1);
  });

  test('a replica serves a token for at most one minute after a logout on another replica', async () => {
    const clock = new TestClock();
    const { vendor, subscribed, unsubscribed, read } = createReplicas(clock);
    vendor.lifeMs = 600_000;
    const { etag } = await read(subscribed);
    expect((await read(unsubscribed)).etag).toBe(etag);
    await subscribed.accounts.logOut(SUBJECT, { sessionIssuedAt: undefined });
    clock.advance(59_999);
    expect((await read(unsubscribed)).etag).toBe(etag);
    clock.advance(1);
    expect((await read(unsubscribed)).etag).not.toBe(etag);
    expect(unsubscribed.cache.tokens.find(ID)?.etag).not.toBe(etag);
    expect(vendor.requests).toHaveLength(2);
  });

  test('a replica forgets the tokens of all terminals of an account that the vendor has closed', async () => {
    const { vendor, unsubscribed, read } = createReplicas(new TestClock());
    const { cache, broker, renewInBackground } = unsubscribed;
    const tablet = { ...SUBJECT, uniqueId: 'tablet' };
    vendor.lifeMs = 600_000;
    await read(unsubscribed);
    await broker.read({ subject: tablet, region: 'CN', sessionIssuedAt: undefined });
    vendor.failure = new BrokerError('account_disabled');
    await expect(renewInBackground(ID)).rejects.toMatchObject({ code: 'account_disabled' });
    expect([ID, subjectId(tablet)].map((id) => cache.tokens.find(id))).toEqual([undefined, undefined]);
  });

  test('a replica forgets a token if a logout has ended its renewal in the background', async () => {
    const { vendor, subscribed, unsubscribed, read } = createReplicas(new TestClock());
    await read(unsubscribed);
    const logIn = vendor.login.bind(vendor);
    vendor.login = async (request) => {
      await subscribed.accounts.logOut(SUBJECT, 'operator');
      return logIn(request);
    };
    await expect(unsubscribed.renewInBackground(ID)).rejects.toMatchObject({ code: 'session_forbidden' });
    expect(unsubscribed.cache.tokens.find(ID)).toBeUndefined();
  });

  test('a replica asks the store again for a token that the store has not confirmed', async () => {
    const { vendor, watched, subscribed, unsubscribed, read } = createReplicas(new TestClock());
    vendor.lifeMs = 600_000;
    watched.down.add('acquire').add('restore');
    const older = await read(unsubscribed);
    const newer = await read(subscribed);
    expect(newer.etag).not.toBe(older.etag);
    watched.down.clear();
    expect((await read(unsubscribed)).etag).toBe(newer.etag);
    expect(vendor.requests).toHaveLength(2);
  });
});
