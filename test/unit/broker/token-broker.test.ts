import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
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
  const watched = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 20 }));
  const built = brokerParts({
    clock,
    store: watched.store,
    policy: { ...PROACTIVE, mode: options.mode ?? 'proactive' },
  });
  const read = (region: string | undefined = 'CN', at = clock.now()) =>
    built.broker.read({ subject: SUBJECT, region, sessionIssuedAt: at });
  return { ...built, clock, watched, read };
}

function tokenOf(served: { readonly body: string }): string {
  return JSON.parse(served.body).accessToken;
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
    await expect(
      broker.read({ subject: SUBJECT, region: undefined, sessionIssuedAt: undefined }),
    ).rejects.toMatchObject({
      code: 'request_invalid',
      detail: expect.stringContaining('regRegion'),
    });
    expect(vendor.requests).toHaveLength(0);
  });

  test('passes the vendor’s error on, caches nothing, and the next read recovers', async () => {
    const { vendor, store, read } = parts();
    vendor.failure = new BrokerError('vendor_unavailable', { vendorCode: 10901060 });
    await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable', vendorCode: 10901060 });
    expect((await store.terminals.read(ID)).record).toBeUndefined();
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
    expect((await store.terminals.read(ID)).record).toBeUndefined();
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
    expect(tokenOf(await broker.read({ subject: SUBJECT, region: undefined, sessionIssuedAt: undefined }))).toBe(
      'token-1',
    );
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
  const AWAY = ['read', 'acquire', 'save', 'release', 'restore', 'markRead', 'take'] as const;

  function away() {
    const built = parts();
    built.watched.store.announcements.completeSince = () => undefined;
    return { ...built, leave: () => AWAY.forEach((name) => void built.watched.down.add(name)) };
  }

  test('a known token is served from memory, without a login while it is good', async () => {
    const { clock, vendor, leave, read } = away();
    await read();
    leave();
    for (const ms of [30_000, 15_000, 8_000]) {
      clock.advance(ms);
      expect(tokenOf(await read())).toBe('token-1');
    }
    expect(vendor.requests).toHaveLength(1);
  });

  test('a known token near its end is renewed without a lease, and served until its margin if that fails', async () => {
    const { clock, vendor, leave, read } = away();
    await read();
    leave();
    clock.advance(56_999);
    vendor.failure = new BrokerError('vendor_unavailable');
    expect(tokenOf(await read())).toBe('token-1');
    clock.advance(1);
    await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable' });
    vendor.failure = undefined;
    expect(tokenOf(await read())).toBe(`token-${vendor.requests.length}`);
    expect(vendor.requests.length).toBeLessThanOrEqual(4);
  });

  test('newcomers cost one login each, however often they ask, and that is written back when it returns', async () => {
    const { vendor, store, watched, leave, read } = away();
    leave();
    vendor.latencyMs = 20;
    const served = await Promise.all(Array.from({ length: 50 }, () => read()));
    expect(new Set(served.map(tokenOf))).toEqual(new Set(['token-1']));
    expect(tokenOf(await read())).toBe('token-1');
    expect(vendor.requests).toHaveLength(1);
    watched.down.clear();
    await eventually(async () =>
      expect((await store.terminals.read(ID)).record?.token.fields['accessToken']).toBe('token-1'),
    );
    expect(vendor.requests).toHaveLength(1);
  });

  test('a newcomer whose country only the store may know is told that the store is away', async () => {
    const { vendor, broker, leave } = away();
    leave();
    const read = broker.read({ subject: SUBJECT, region: undefined, sessionIssuedAt: undefined });
    await expect(read).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(vendor.requests).toHaveLength(0);
  });

  test('an account this replica knows to be erased is still refused', async () => {
    const { clock, vendor, accounts, leave, read } = away();
    await read();
    const before = clock.now() - 1;
    await accounts.erase('alice');
    leave();
    await expect(read('CN', before)).rejects.toMatchObject({ code: 'session_invalid' });
    expect(vendor.requests).toHaveLength(1);
  });

  test('a token that was obtained but not written is written back', async () => {
    const { store, watched, read } = away();
    watched.down.add('save');
    expect(tokenOf(await read())).toBe('token-1');
    await eventually(async () => expect((await store.terminals.read(ID)).record).toBeDefined());
  });
});

describe('a subject whose logins fail again and again', () => {
  test('is left alone for a while, longer each time, and one failure alone costs it nothing', async () => {
    const { clock, vendor, read } = parts();
    vendor.failure = new BrokerError('vendor_unavailable');
    for (const attempts of [1, 2]) {
      await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable' });
      expect(vendor.requests).toHaveLength(attempts);
    }
    for (const [attempts, coolDownMs] of [
      [3, 500],
      [4, 1_000],
      [5, 2_000],
    ] as const) {
      for (let round = 0; round < 20; round += 1) {
        await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable', retryAfter: expect.any(Number) });
      }
      expect(vendor.requests).toHaveLength(attempts - 1);
      clock.advance(coolDownMs);
      await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable' });
      expect(vendor.requests).toHaveLength(attempts);
    }
    vendor.failure = undefined;
    clock.advance(4_000);
    expect(tokenOf(await read())).toBe('token-6');
  });

  test('is not left alone for a definite no', async () => {
    const { vendor, read } = parts();
    vendor.failure = new BrokerError('vendor_rejected');
    for (let round = 0; round < 5; round += 1) await expect(read()).rejects.toMatchObject({ code: 'vendor_rejected' });
    expect(vendor.requests).toHaveLength(5);
  });
});

describe('a read', () => {
  test('is noted once per generation, and again if the store missed it', async () => {
    const { clock, watched, renewal, read } = parts();
    await read();
    clock.advance(50_000);
    const { record: known } = await watched.store.terminals.read(ID);
    const again = { id: ID, subject: SUBJECT, region: 'CN', known, sessionIssuedAt: undefined, satisfies: () => false };
    await renewal.renew({ ...again, cause: 'background' });
    watched.down.add('markRead');
    await read();
    await eventually(() => watched.calls('markRead') === 1);
    watched.down.delete('markRead');
    await read();
    await read();
    expect(watched.calls('markRead')).toBe(2);
    expect((await watched.store.terminals.read(ID)).record?.read).toBe(true);
  });
});
