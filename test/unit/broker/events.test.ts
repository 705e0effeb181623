import { describe, expect, test } from 'vitest';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PROACTIVE } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { TestClock } from '../../support/test-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const LIFE_MS = 60_000;

/** Two replicas on one store whose clock is ours; `told` is what the first of them tells. */
function parts({ mode = 'proactive', perMinute = 0 }: { mode?: 'proactive' | 'on-demand'; perMinute?: number } = {}) {
  const clock = new TestClock();
  const watched = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 20 }));
  const { observer, told } = recordingObserver();
  const options = { clock, store: watched.store, policy: { ...PROACTIVE, mode }, perMinute };
  const one = brokerParts({ ...options, observer });
  const other = brokerParts({ ...options, vendor: one.vendor });
  const read = (from = one, refused?: string, at = clock.now()) =>
    from.broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: at, refused });
  return { ...one, one, other, clock, watched, told, read };
}

function request(cause: RenewalRequest['cause']): RenewalRequest {
  return {
    id: ID,
    subject: SUBJECT,
    region: 'CN',
    known: undefined,
    cause,
    sessionIssuedAt: undefined,
    satisfies: () => false,
  };
}

describe('a read tells where its token came from', () => {
  test('a login, memory, the store, or somebody else’s login', async () => {
    const { one, other, clock, told, vendor, read } = parts();
    vendor.latencyMs = 30;
    await Promise.all([read(one), read(one)]);
    await read(one);
    clock.advance(61_000);
    vendor.lifeMs = 600_000;
    await read(other);
    await read(one);
    const outcomes = told('tokenServed').map(([outcome]) => outcome);
    expect(outcomes.slice(0, 2).sort()).toEqual(['login', 'waited']);
    expect(outcomes.slice(2)).toEqual(['memory', 'redis']);
  });

  test('and what it has left to live', async () => {
    const { clock, told, read } = parts();
    await read();
    clock.advance(20_000);
    await read();
    expect(told('tokenServed').map(([, leftMs]) => leftMs)).toEqual([LIFE_MS, LIFE_MS - 20_000]);
  });

  test('memory, while the store is away', async () => {
    const { clock, watched, told, vendor, read } = parts();
    vendor.lifeMs = 600_000;
    await read();
    clock.advance(61_000);
    watched.down.add('read');
    await read();
    expect(told('tokenServed').at(-1)?.[0]).toBe('memory');
  });

  test('the old one, where its renewal failed', async () => {
    const { clock, told, vendor, read } = parts({ mode: 'on-demand' });
    await read();
    clock.advance(55_000);
    vendor.failure = new BrokerError('vendor_timeout');
    await read();
    expect(told('tokenServed').map(([outcome]) => outcome)).toEqual(['login', 'fallback']);
    expect(told('renewalFailed')).toEqual([['due', expect.objectContaining({ code: 'vendor_timeout' })]]);
  });

  test('or the error it ended with', async () => {
    const { accounts, clock, told, vendor, read } = parts();
    vendor.failure = new BrokerError('vendor_rejected');
    await expect(read()).rejects.toThrow();
    vendor.failure = undefined;
    await read();
    const before = clock.now();
    clock.advance(10);
    await accounts.erase(SUBJECT.unionId);
    await expect(read(undefined, undefined, before)).rejects.toThrow();
    expect(told('readFailed').map(([error]) => (error as BrokerError).code)).toEqual([
      'vendor_rejected',
      'session_invalid',
    ]);
  });
});

describe('a renewal tells why it was made and what it came to', () => {
  test('once for all who share it', async () => {
    const { told, vendor, read } = parts();
    vendor.latencyMs = 30;
    await Promise.all(Array.from({ length: 20 }, () => read()));
    const { etag } = await read();
    await read(undefined, etag);
    expect(told('renewalEnded')).toEqual([
      ['new', 'login'],
      ['refused', 'login'],
    ]);
  });

  test('waited for where another replica is at it', async () => {
    const { one, other, told, vendor } = parts();
    vendor.latencyMs = 150;
    const first = other.renewal.renew(request('new'));
    await eventually(() => vendor.requests.length === 1);
    await one.renewal.renew({ ...request('new'), satisfies: () => true });
    await first;
    expect(told('renewalEnded')).toEqual([['new', 'waited']]);
  });

  test('and that its subject is cooling down', async () => {
    const { told, vendor, read } = parts();
    vendor.failure = new BrokerError('vendor_unavailable');
    for (let attempt = 0; attempt < 3; attempt += 1) await expect(read()).rejects.toThrow();
    expect(vendor.requests).toHaveLength(2);
    expect(told('coolingDown')).toEqual([['vendor_unavailable']]);
  });
});

describe('a token renewed without being asked for', () => {
  test('is told to be read the first time it is, and no other is', async () => {
    const { one, told, read } = parts();
    await read();
    await read();
    expect(told('backgroundRenewalRead')).toHaveLength(0);
    await one.renewInBackground(ID);
    expect(told('backgroundRenewalRead')).toHaveLength(0);
    for (let time = 0; time < 5; time += 1) await read();
    await eventually(() => told('backgroundRenewalRead').length === 1);
    expect(told('renewalEnded')).toContainEqual(['background', 'login']);
  });

  test('is not told to be read where that could not be noted', async () => {
    const { one, watched, told, read } = parts();
    await read();
    await one.renewInBackground(ID);
    watched.down.add('markRead');
    await read();
    await eventually(() => watched.calls('markRead') === 1);
    expect(told('backgroundRenewalRead')).toHaveLength(0);
    watched.down.delete('markRead');
    await read();
    await eventually(() => told('backgroundRenewalRead').length === 1);
  });
});

describe('a limit', () => {
  test('tells that it was reached, and which', async () => {
    const { told, read } = parts({ perMinute: 5 });
    let { etag } = await read();
    for (let refused = 0; refused < 3; refused += 1) etag = (await read(undefined, etag)).etag;
    await expect(read(undefined, etag)).rejects.toMatchObject({ code: 'rate_limited' });
    expect(told('rateLimited')).toEqual([['refused_tokens']]);
  });
});

describe('what was written back', () => {
  test('is told, and whether something newer stood there', async () => {
    const { one, watched, told, clock, read } = parts();
    watched.down.add('save');
    await read();
    await eventually(() => told('wroteBack').length === 1, { timeoutMs: 5_000 });
    expect(told('wroteBack')).toEqual([['saved']]);
    watched.down.add('acquire');
    clock.advance(56_000);
    await read();
    watched.down.delete('acquire');
    clock.advance(10);
    await one.store.terminals.remove(ID);
    await eventually(() => told('wroteBack').length === 2, { timeoutMs: 5_000 });
    expect(told('wroteBack')[1]).toEqual(['outdated']);
  });
});
