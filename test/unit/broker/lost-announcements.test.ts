import { describe, expect, test } from 'vitest';
import type { SessionAge } from '../../../src/broker/requests.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import type { Clock } from '../../../src/token/clock.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { brokerParts, PHONE_ID as ID, PHONE, SILENCE, virtualReplica } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { TestClock } from '../../support/test-clock.ts';

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
    broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now() });
  return { vendor, watched, subscribed, unsubscribed, read };
}

describe('when an announcement is lost', () => {
  test('a replica serves a token for at most one minute after a logout on another replica', async () => {
    const clock = new TestClock();
    const { vendor, subscribed, unsubscribed, read } = createReplicas(clock);
    vendor.lifeMs = 600_000;
    const { etag } = await read(subscribed);
    expect((await read(unsubscribed)).etag).toBe(etag);
    await subscribed.accounts.logOut(PHONE, { sessionIssuedAt: undefined });
    clock.advance(59_999);
    expect((await read(unsubscribed)).etag).toBe(etag);
    clock.advance(1);
    expect((await read(unsubscribed)).etag).not.toBe(etag);
    expect(unsubscribed.cache.tokens.find(ID)?.etag).not.toBe(etag);
    expect(vendor.requests).toHaveLength(2);
  });

  test('a replica forgets a token if a logout has ended its renewal in the background', async () => {
    const { vendor, subscribed, unsubscribed, read } = createReplicas(new TestClock());
    await read(unsubscribed);
    const logIn = vendor.login.bind(vendor);
    vendor.login = async (request) => {
      await subscribed.accounts.logOut(PHONE, 'operator');
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

describe('without any announcement, a replica that was told of', () => {
  type Told = Pick<ReturnType<typeof virtualReplica>, 'accounts'> & { readonly session: SessionAge };
  test.each<[string, (told: Told) => Promise<void>, string]>([
    ['the logout of an app logs in', ({ accounts, session }) => accounts.logOut(PHONE, session), 'token-2'],
    ['the logout by an operator logs in', ({ accounts }) => accounts.logOut(PHONE, 'operator'), 'token-2'],
    [
      'the logout of the account refuses the session',
      ({ accounts }) => accounts.logOutEverywhere(PHONE.unionId),
      'session_invalid',
    ],
    ['an erasure refuses the session', ({ accounts }) => accounts.erase(PHONE.unionId), 'session_invalid'],
  ])('%s, also while the store fails', async (_, end, expected) => {
    for (const failing of [[], ['read', 'acquire', 'restore']] as const) {
      const replica = virtualReplica({ parts: { announcements: SILENCE } });
      const { clock, pass, accounts, cache, watched, answerAfter } = replica;
      const session = { sessionIssuedAt: clock.now() };
      expect(await answerAfter(0, session)).toBe('token-1');
      await pass(10);
      await end({ accounts, session });
      expect(cache.tokens.find(ID)).toBeUndefined();
      for (const method of failing) watched.down.add(method);
      expect(await answerAfter(0, session)).toBe(expected);
    }
  });
});
