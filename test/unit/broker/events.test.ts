import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { accountId } from '../../../src/token/subject.ts';
import { brokerParts, PHONE } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { TestClock } from '../../support/test-clock.ts';

const LIFE_MS = 60_000;

/** Two replicas on one store with a test clock. `eventsOf` returns the events of the first replica. */
function parts() {
  const clock = new TestClock();
  const watched = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 20 }));
  const { observer, told: eventsOf } = recordingObserver();
  const options = { clock, store: watched.store };
  const first = brokerParts({ ...options, observer });
  const second = brokerParts({ ...options, vendor: first.vendor });
  const read = (replica = first, refused?: string, sessionIssuedAt = clock.now()) =>
    replica.broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt, refused });
  return { ...first, first, second, clock, watched, eventsOf, read };
}

describe('the events of a read', () => {
  test('name the source of the token: a login, another request’s login, memory or the store', async () => {
    const { first, second, clock, eventsOf, vendor, read } = parts();
    vendor.latencyMs = 30;
    await Promise.all([read(first), read(first)]);
    await read(first);
    clock.advance(61_000);
    vendor.lifeMs = 600_000;
    await read(second);
    await read(first);
    const outcomes = eventsOf('tokenServed').map(([outcome]) => outcome);
    expect(outcomes.slice(0, 2).sort()).toEqual(['login', 'waited']);
    expect(outcomes.slice(2)).toEqual(['memory', 'redis']);
  });

  test('contain the remaining life of the token', async () => {
    const { clock, eventsOf, read } = parts();
    await read();
    clock.advance(20_000);
    await read();
    expect(eventsOf('tokenServed').map(([, leftMs]) => leftMs)).toEqual([LIFE_MS, LIFE_MS - 20_000]);
  });

  test('contain the error of a failed read, and its account', async () => {
    const { accounts, clock, eventsOf, vendor, read } = parts();
    vendor.failure = new BrokerError('vendor_rejected');
    await expect(read()).rejects.toThrow();
    vendor.failure = undefined;
    await read();
    const before = clock.now();
    clock.advance(10);
    await accounts.erase(PHONE.unionId);
    await expect(read(undefined, undefined, before)).rejects.toThrow();
    const account = accountId(PHONE.unionId);
    expect(eventsOf('readFailed')).toEqual([
      [expect.objectContaining({ code: 'vendor_rejected' }), account],
      [expect.objectContaining({ code: 'session_invalid' }), account],
    ]);
  });
});

describe('the events of a renewal', () => {
  test('contain its cause and outcome once for all requests that share it', async () => {
    const { eventsOf, vendor, read } = parts();
    vendor.latencyMs = 30;
    await Promise.all(Array.from({ length: 20 }, () => read()));
    const { etag } = await read();
    await read(undefined, etag);
    expect(eventsOf('renewalEnded')).toEqual([
      ['new', 'login'],
      ['refused', 'login'],
    ]);
  });
});
