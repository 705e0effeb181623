import { describe, expect, test } from 'vitest';
import { MemoryTokenStore } from '../../../src/store/memory/memory-token-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PROACTIVE } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { TestClock } from '../../support/test-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

function parts(options: { mode?: 'proactive' | 'on-demand' } = {}) {
  const clock = new TestClock();
  const watched = watchedStore(new MemoryTokenStore(clock));
  const built = brokerParts({
    clock,
    store: watched.store,
    policy: { ...PROACTIVE, mode: options.mode ?? 'proactive' },
  });
  const read = (region: string | undefined = 'CN') => built.broker.read(SUBJECT, region);
  return { ...built, clock, watched, read };
}

function tokenOf(served: { readonly body: Buffer }): string {
  return JSON.parse(served.body.toString()).accessToken;
}

describe('a first read', () => {
  test('logs in once for three hundred readers at a time, with one lease asked for', async () => {
    const { vendor, watched, read } = parts();
    vendor.latencyMs = 30;
    const served = await Promise.all(Array.from({ length: 300 }, () => read()));
    expect(vendor.requests).toHaveLength(1);
    expect(watched.calls('acquire')).toBe(1);
    expect(watched.calls('read')).toBe(1);
    expect(new Set(served.map(tokenOf))).toEqual(new Set(['token-1']));
  });

  test('says which parameter helps when nobody knows the country', async () => {
    const { vendor, broker } = parts();
    await expect(broker.read(SUBJECT, undefined)).rejects.toMatchObject({
      code: 'request_invalid',
      detail: expect.stringContaining('regRegion'),
    });
    expect(vendor.requests).toHaveLength(0);
  });

  test('passes the vendor’s error on, caches nothing, and the next read recovers', async () => {
    const { vendor, store, read } = parts();
    vendor.failure = new BrokerError('vendor_unavailable', { vendorCode: 10901060 });
    await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable', vendorCode: 10901060 });
    expect(await store.read(ID)).toBeUndefined();
    vendor.failure = undefined;
    expect(tokenOf(await read())).toBe('token-2');
  });

  test('is not aborted by a store that fails to write: the token that was obtained is served', async () => {
    const { vendor, watched, read } = parts();
    watched.down.add('save');
    expect(tokenOf(await read())).toBe('token-1');
    expect(vendor.requests).toHaveLength(1);
  });

  test('forgets the token of an account that the vendor has closed', async () => {
    const { clock, vendor, store, read } = parts();
    await read();
    clock.advance(58_000);
    vendor.failure = new BrokerError('account_disabled');
    await expect(read()).rejects.toMatchObject({ code: 'account_disabled' });
    expect(await store.read(ID)).toBeUndefined();
  });
});

describe('a read of a known token', () => {
  test('asks nobody while the token is fresh', async () => {
    const { clock, vendor, watched, read } = parts();
    await read();
    clock.advance(20_000);
    for (let round = 0; round < 100; round += 1) await read();
    expect(vendor.requests).toHaveLength(1);
    expect(watched.calls('read')).toBe(1);
    expect(watched.calls('acquire')).toBe(1);
  });

  test('answers with the same bytes and entity tag each time, and others after a renewal', async () => {
    const { clock, read } = parts();
    const first = await read();
    const second = await read();
    expect(second.body).toBe(first.body);
    expect(second.etag).toBe(first.etag);
    clock.advance(56_000);
    expect((await read()).etag).not.toBe(first.etag);
  });

  test('needs no country', async () => {
    const { broker, read } = parts();
    await read();
    expect(tokenOf(await broker.read(SUBJECT, undefined))).toBe('token-1');
  });

  test('is answered at once when it is due, and asks for one renewal however many ask', async () => {
    const { clock, vendor, read } = parts();
    await read();
    clock.advance(54_000 - 1);
    vendor.latencyMs = 30;
    const served = await Promise.all(Array.from({ length: 50 }, () => read()));
    expect(new Set(served.map(tokenOf))).toEqual(new Set(['token-1']));
    await eventually(async () => expect(tokenOf(await read())).toBe('token-2'));
    expect(vendor.requests).toHaveLength(2);
  });

  test('waits for the renewal near its end', async () => {
    const { clock, vendor, read } = parts();
    await read();
    clock.advance(54_000);
    vendor.latencyMs = 50;
    expect(tokenOf(await read())).toBe('token-2');
  });

  test('waits for the renewal as soon as it is due where it is renewed on demand alone', async () => {
    const { clock, read } = parts({ mode: 'on-demand' });
    await read();
    clock.advance(41_999);
    expect(tokenOf(await read())).toBe('token-1');
    clock.advance(12_000);
    expect(tokenOf(await read())).toBe('token-2');
  });

  test('falls back on the token when its renewal fails, and does not try at every read', async () => {
    const { clock, vendor, read } = parts();
    await read();
    clock.advance(55_000);
    vendor.failure = new BrokerError('vendor_unavailable');
    for (let round = 0; round < 20; round += 1) expect(tokenOf(await read())).toBe('token-1');
    expect(vendor.requests).toHaveLength(2);
  });

  test('never hands a token out past its margin, even if nothing else can be had', async () => {
    const { clock, vendor, read } = parts();
    await read();
    vendor.failure = new BrokerError('vendor_timeout');
    clock.advance(57_000 - 1);
    expect(tokenOf(await read())).toBe('token-1');
    clock.advance(1);
    await expect(read()).rejects.toMatchObject({ code: 'vendor_timeout' });
  });

  test('does not wait longer for a slow vendor than the old token is good for', async () => {
    const { clock, vendor, read } = parts();
    await read();
    clock.advance(57_000 - 40);
    vendor.latencyMs = 5_000;
    const startedAt = performance.now();
    expect(tokenOf(await read())).toBe('token-1');
    expect(performance.now() - startedAt).toBeLessThan(2_500);
  });
});

describe('when the store cannot be asked', () => {
  test('a known token is served from memory until its margin, and not past it', async () => {
    const { clock, watched, read } = parts();
    watched.store.announcedSince = () => undefined;
    await read();
    for (const name of ['read', 'acquire', 'save', 'release'] as const) watched.down.add(name);
    clock.advance(30_000);
    expect(tokenOf(await read())).toBe('token-1');
    clock.advance(26_999);
    expect(tokenOf(await read())).toBe('token-1');
    clock.advance(1);
    await expect(read()).rejects.toMatchObject({ code: 'store_unavailable' });
  });

  test('an error is not an absence: a subject nobody knows costs no login', async () => {
    const { vendor, watched, read } = parts();
    watched.down.add('read');
    await expect(read()).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(vendor.requests).toHaveLength(0);
  });
});

describe('a read', () => {
  test('is noted once per generation, and again if the store missed it', async () => {
    const { clock, watched, renewal, read } = parts();
    await read();
    clock.advance(50_000);
    const known = await watched.store.read(ID);
    await renewal.renew({ id: ID, subject: SUBJECT, region: 'CN', known, askedFor: false, satisfies: () => false });
    watched.down.add('markRead');
    await read();
    await eventually(() => watched.calls('markRead') === 1);
    watched.down.delete('markRead');
    await read();
    await read();
    expect(watched.calls('markRead')).toBe(2);
    expect((await watched.store.read(ID))?.read).toBe(true);
  });
});
