import { setImmediate } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TokenStore } from '../../../src/token/ports.ts';
import { serveToken } from '../../../src/token/sdk-token.ts';
import { accountOf, subjectId } from '../../../src/token/subject.ts';
import {
  brokerParts,
  PHONE_ID as ID,
  PHONE,
  PROACTIVE,
  renewalRequest,
  tokenOrCode,
} from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { madeUpRecord } from '../../support/made-up-tokens.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { replacedStore } from '../../support/replaced-store.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { TestClock } from '../../support/test-clock.ts';

function parts(options: { mode?: 'proactive' | 'on-demand' } = {}) {
  const clock = new TestClock();
  const watched = watchedStore(createMemoryStore({ clock: clock.elsewhere, terminalsPerAccount: 20 }));
  const { observer, told } = recordingObserver();
  const built = brokerParts({
    clock,
    observer,
    store: watched.store,
    policy: { ...PROACTIVE, mode: options.mode ?? 'proactive' },
  });
  const read = (region: string | undefined = 'CN', sessionIssuedAt = clock.now()) =>
    built.broker.read({ subject: PHONE, region, sessionIssuedAt });
  return { ...built, clock, watched, told, read };
}

describe('a read of a known token', () => {
  test('names the missing parameter when the country is unknown', async () => {
    const { vendor, broker } = parts();
    await expect(broker.read({ subject: PHONE, region: undefined, sessionIssuedAt: undefined })).rejects.toMatchObject({
      code: 'request_invalid',
      detail: expect.stringContaining('regRegion'),
    });
    expect(vendor.requests).toHaveLength(0);
  });

  test('does not need the country', async () => {
    const { broker, read } = parts();
    await read();
    expect(accessTokenOf(await broker.read({ subject: PHONE, region: undefined, sessionIssuedAt: undefined }))).toBe(
      'token-1',
    );
  });

  test.each([
    ['proactive', 'background'],
    ['on-demand', 'foreground'],
  ] as const)('renews a due token in %s mode as a %s login', async (mode, urgency) => {
    const { vendor, clock, read } = parts({ mode });
    await read();
    clock.advance(0.9 * vendor.lifeMs - 1);
    await read();
    await eventually(() => vendor.requests.length === 2);
    expect(vendor.requests.map((request) => request.urgency)).toEqual(['foreground', urgency]);
  });
});

test('a report is never answered with the refused token, even if memory learns of it during the renewal', async () => {
  const { clock, vendor, cache, broker } = parts();
  vendor.latencyMs = 30;
  const refused = { ...madeUpRecord(PHONE), generation: clock.now() + 60_000 };
  const { etag } = serveToken(refused);
  const reading = broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now(), refused: etag });
  await eventually(() => vendor.requests.length === 1, { everyMs: 2 });
  cache.put(refused, { checkedAt: clock.now(), sessionsEndedAt: undefined }, ID);
  const served = await reading;
  expect(served.etag).not.toBe(etag);
  expect(accessTokenOf(served)).toBe('token-1');
});

/** A replica whose store goes back in time to what it had, but announces nothing of it. */
function partsWithPast() {
  const clock = new TestClock();
  const { store, present, past, replace } = replacedStore(clock);
  const built = brokerParts({ clock, store });
  built.vendor.lifeMs = 10 * 3_600_000;
  const read = (sessionIssuedAt = clock.now()) => built.broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt });
  /** Takes the stored token into the past. */
  const takeSnapshot = async () => {
    const { record } = await present.terminals.read(ID);
    if (!record) throw new Error('no token');
    expect(await past.terminals.restore(record, clock.now() + 3_600_000)).toBe('saved');
    return record;
  };
  const goBack = () => {
    replace();
    // What is in memory is not fresh any more.
    clock.advance(60_001);
  };
  const stored = async () => (await past.terminals.read(ID)).record;
  return { ...built, clock, present, past, read, takeSnapshot, goBack, stored };
}

describe('a read that finds the store behind memory', () => {
  test('serves the newer token of memory, and writes it back', async () => {
    const { vendor, clock, read, renewInBackground, takeSnapshot, goBack, stored } = partsWithPast();
    await read();
    await takeSnapshot();
    clock.advance(1_000);
    await renewInBackground(ID);
    expect(accessTokenOf(await read())).toBe('token-2');
    goBack();
    expect(accessTokenOf(await read())).toBe('token-2');
    await eventually(async () => expect((await stored())?.token.fields['accessToken']).toBe('token-2'));
    expect(vendor.requests).toHaveLength(2);
  });

  test('writes nothing if the store has the same token or a newer one', async () => {
    const { clock, past, read, takeSnapshot, goBack, stored, writeBack } = partsWithPast();
    await read();
    const record = await takeSnapshot();
    const newer = { ...record, generation: record.generation + 1, answeredAt: record.generation + 1 };
    goBack();
    let restored = 0;
    const restore = past.terminals.restore.bind(past.terminals);
    past.terminals.restore = (...args) => {
      restored += 1;
      return restore(...args);
    };
    expect(accessTokenOf(await read())).toBe('token-1');
    await restore(newer, clock.now() + 9_000);
    clock.advance(60_001);
    await read();
    await setImmediate();
    expect([restored, writeBack.hasRecordOf(ID)]).toEqual([0, false]);
    expect(await stored()).toMatchObject({ generation: newer.generation });
  });

  test('repeats a logout that the store has lost, and logs in anew', async () => {
    const { clock, vendor, accounts, past, read, takeSnapshot, goBack, stored } = partsWithPast();
    await read();
    const lost = await takeSnapshot();
    clock.advance(10);
    await accounts.logOut(PHONE, 'operator');
    goBack();
    expect(await stored()).toEqual(lost);
    expect(accessTokenOf(await read())).toBe('token-2');
    expect(vendor.requests).toHaveLength(2);
    expect((await stored())?.token.fields['accessToken']).toBe('token-2');
    // The lost token cannot come back by another replica either.
    await past.terminals.remove(ID);
    expect(await past.terminals.restore(lost, clock.now() + 9_000)).toBe('outdated');
  });

  test('repeats the logout even if the login after it fails', async () => {
    const { clock, vendor, accounts, past, read, takeSnapshot, goBack, stored } = partsWithPast();
    await read();
    const lost = await takeSnapshot();
    clock.advance(10);
    await accounts.logOut(PHONE, 'operator');
    goBack();
    vendor.failure = new BrokerError('vendor_unavailable');
    await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable' });
    await eventually(async () => expect(await stored()).toBeUndefined());
    expect(await past.terminals.restore(lost, clock.now() + 9_000)).toBe('outdated');
  });

  test('repeats an erasure that the store has lost, refuses its older sessions, and logs newer ones in anew', async () => {
    const { clock, vendor, accounts, past, read, takeSnapshot, goBack, stored } = partsWithPast();
    await read();
    await takeSnapshot();
    const sessionIssuedAt = clock.now();
    clock.advance(10);
    await accounts.erase('alice');
    clock.advance(10);
    goBack();
    await expect(read(sessionIssuedAt)).rejects.toMatchObject({ code: 'session_invalid' });
    await eventually(async () => expect(await stored()).toBeUndefined());
    const account = await past.accounts.find('alice');
    expect(account).toMatchObject({ identity: undefined, records: [] });
    expect(account.erasedAt).toBeGreaterThan(sessionIssuedAt);
    expect(accessTokenOf(await read())).toBe('token-2');
    expect(vendor.requests).toHaveLength(2);
  });

  test.each([
    ['from after the lost erasure stays, and only older sessions are refused', 1, 'token-1', 1],
    ['that the lost erasure has ended is replaced', 0, 'token-2', 2],
  ] as const)('a token %s', async (_, laterMs, token, logins) => {
    const { vendor, clock, cache, past, read, takeSnapshot, goBack } = partsWithPast();
    await read();
    const { generation } = await takeSnapshot();
    const erasedAt = generation - laterMs;
    goBack();
    cache.tokens.remove(ID);
    cache.erased(accountOf(ID), erasedAt);
    clock.advance(1);
    const acquire = vi.spyOn(past.terminals, 'acquire');
    expect(accessTokenOf(await read())).toBe(token);
    await expect(read(erasedAt)).rejects.toMatchObject({ code: 'session_invalid' });
    expect(vendor.requests).toHaveLength(logins);
    expect(acquire).toHaveBeenCalledTimes(logins - 1);
  });

  test('does so although the clock of the replica was set back by an hour after the logout', async () => {
    const { clock, accounts, read, takeSnapshot, goBack } = partsWithPast();
    await read();
    await takeSnapshot();
    clock.advance(10);
    await accounts.logOut(PHONE, 'operator');
    clock.jump(-3_600_000);
    goBack();
    expect(accessTokenOf(await read())).toBe('token-2');
  });
});

describe('a read after the store has lost its data', () => {
  test('stores again that an app has read the token', async () => {
    const { read, renewInBackground, goBack, present, past } = partsWithPast();
    const isRead = async ({ terminals }: TokenStore) => (await terminals.read(ID)).record?.read === true;
    await read();
    await renewInBackground(ID);
    await read();
    await eventually(() => isRead(present));
    goBack();
    await read();
    await eventually(() => isRead(past));
  });

  test('stores the read mark also if another replica has restored the token without it', async () => {
    const { clock, read, renewInBackground, goBack, present, past } = partsWithPast();
    await read();
    await renewInBackground(ID);
    const { record } = await present.terminals.read(ID);
    await read();
    goBack();
    if (record) await past.terminals.restore(record, clock.now());
    const storedIn = { read: past.terminals.read.bind(past.terminals) };
    past.terminals.read = async () => ({ record: undefined, erasedAt: undefined });
    const markRead = vi.spyOn(past.terminals, 'markRead');
    await read();
    expect(markRead).toHaveBeenCalledOnce();
    await markRead.mock.results[0]?.value;
    expect((await storedIn.read(ID)).record?.read).toBe(true);
  });

  test('does not wait for the read mark of a token that the store gets back', async () => {
    const { read, renewInBackground, goBack, past } = partsWithPast();
    await read();
    await renewInBackground(ID);
    await read();
    goBack();
    const markRead = vi.spyOn(past.terminals, 'markRead').mockImplementationOnce(() => new Promise(() => undefined));
    await read();
    expect(markRead).toHaveBeenCalledOnce();
  });

  test('logs in if the store knows a logout that the replica has not heard of, also beside a read that asks for it', async () => {
    const { read, goBack, past } = partsWithPast();
    await read();
    goBack();
    await past.terminals.remove(ID);
    const restore = vi.spyOn(past.terminals, 'restore');
    const reads = await Promise.all([read(), read(), read()]);
    expect(restore).toHaveBeenCalledOnce();
    expect(reads.map(accessTokenOf)).toEqual(['token-2', 'token-2', 'token-2']);
  });
});

describe('a read during an outage of the store', () => {
  const FAILING_METHODS = ['read', 'acquire', 'save', 'release', 'restore', 'markRead', 'take'] as const;

  function outageParts() {
    const built = parts();
    built.watched.store.announcements.completeSince = () => undefined;
    return { ...built, startOutage: () => FAILING_METHODS.forEach((name) => void built.watched.down.add(name)) };
  }

  test('logs in again in the country of a token that has ended, not in that of the session', async () => {
    const { clock, vendor, startOutage, read } = outageParts();
    await read('CN');
    startOutage();
    clock.advance(57_000);
    await read('DE');
    expect(vendor.requests.map(({ region }) => region)).toEqual(['CN', 'CN']);
  });

  test('still refuses it on a replica that has started after the erasure, once that has read the store', async () => {
    const { clock, store, accounts, startOutage, watched } = outageParts();
    const before = clock.now();
    clock.advance(1);
    await accounts.erase('alice');
    const { broker, vendor } = brokerParts({ clock, store: watched.store });
    const read = (sessionIssuedAt: number, uniqueId = 'phone') =>
      broker.read({ subject: { ...PHONE, uniqueId }, region: 'CN', sessionIssuedAt });
    await expect(read(before)).rejects.toMatchObject({ code: 'session_invalid' });
    startOutage();
    for (const uniqueId of ['phone', 'tablet']) {
      await expect(read(before, uniqueId)).rejects.toMatchObject({ code: 'session_invalid' });
    }
    expect(vendor.requests).toHaveLength(0);
    clock.advance(1);
    expect(accessTokenOf(await read(clock.now()))).toBe('token-1');
    expect((await store.accounts.find('alice')).erasedAt).toBeGreaterThan(before);
  });

  test('answers a report of a refused token with a newer token, not with an older one of the store', async () => {
    const { clock, vendor, watched, startOutage, read, broker } = outageParts();
    await read();
    startOutage();
    clock.advance(50_000);
    const { etag: first } = await read();
    const refused = await broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now(), refused: first });
    watched.down.clear();
    watched.down.add('restore');
    const { etag } = refused;
    const answer = await broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now(), refused: etag });
    expect(answer.etag).not.toBe(etag);
    expect(accessTokenOf(answer)).toBe(`token-${vendor.requests.length}`);
  });

  describe('whose login fails', () => {
    /** @param reports whether its app reports the token in the store as refused */
    async function failingRead(reports = false) {
      const { clock, vendor, store, watched, accounts, told, startOutage, broker, read } = outageParts();
      const otherReplica = brokerParts({ clock, store });
      const readThere = () => otherReplica.broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now() });
      const refused = reports ? (await readThere()).etag : undefined;
      startOutage();
      const fail = vi.fn<(error: Error) => void>();
      const asked = vi
        .spyOn(vendor, 'login')
        .mockImplementation(() => new Promise((_resolve, reject) => void fail.mockImplementation(reject)));
      const failing = broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now(), refused });
      failing.catch(() => undefined);
      await eventually(() => asked.mock.calls.length === 1);
      watched.down.clear();
      return { clock, accounts, failing, fail, told, read, readThere };
    }

    const outage = new BrokerError('vendor_unavailable');
    type Failing = Awaited<ReturnType<typeof failingRead>>;
    const find = async ({ readThere, read }: Failing) => [await readThere(), await read()];
    test.each<[string, (parts: Failing) => unknown, string, string[]]>([
      ['gets the token that another read has found in the store', find, 'token-1', ['redis', 'waited']],
      [
        'gets it up to its expiry margin, although it is due',
        async (parts) => [await find(parts), parts.clock.advance(56_999)],
        'token-1',
        ['redis', 'fallback'],
      ],
      [
        'does not get it at its expiry margin',
        async (parts) => [await find(parts), parts.clock.advance(57_000)],
        'vendor_unavailable',
        ['redis'],
      ],
      [
        'gets none if its session is from before an erasure of the account',
        async (parts) => {
          await parts.accounts.erase('alice');
          parts.clock.advance(1);
          await find(parts);
        },
        'session_invalid',
        ['redis'],
      ],
      ['fails with the error of the login if nobody has a token', () => undefined, 'vendor_unavailable', []],
    ])('%s', async (_, prepare, expected, served) => {
      const parts = await failingRead();
      await prepare(parts);
      parts.fail(outage);
      expect(await tokenOrCode(parts.failing)).toBe(expected);
      expect(parts.told('tokenServed').map(([outcome]) => outcome)).toEqual(served);
    });

    test('does not get the one that its app reported as refused', async () => {
      const { failing, fail, read } = await failingRead(true);
      await read();
      fail(outage);
      await expect(failing).rejects.toMatchObject({ code: 'vendor_unavailable' });
    });

    test('fails with a mistake of the broker, so that somebody sees it', async () => {
      const { failing, fail, readThere, read } = await failingRead();
      await readThere();
      await read();
      fail(new TypeError('a mistake'));
      await expect(failing).rejects.toThrow('a mistake');
    });
  });
});

describe('a subject whose logins fail repeatedly', () => {
  test.each([-3_600_000, 3_600_000])(
    'gets the same cool-down, although the clock is set by %i ms after two failures',
    async (jumpMs) => {
      const { clock, vendor, read } = parts();
      vendor.failure = new BrokerError('vendor_unavailable');
      for (const _failure of [1, 2]) await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable' });
      vendor.failure = undefined;
      clock.jump(jumpMs);
      clock.advance(499);
      await expect(read()).rejects.toMatchObject({ code: 'vendor_unavailable' });
      expect(vendor.requests).toHaveLength(2);
      clock.advance(1);
      expect(accessTokenOf(await read())).toBe('token-3');
    },
  );
});

describe('the read mark of a token', () => {
  test('is stored once per generation, and retried if the store fails', async () => {
    const { clock, watched, renewal, read } = parts();
    await read();
    clock.advance(50_000);
    const { record: known } = await watched.store.terminals.read(ID);
    await renewal.renew(renewalRequest({ known, cause: 'background', satisfies: () => false }));
    watched.down.add('markRead');
    await read();
    await eventually(() => watched.calls('markRead') === 1);
    watched.down.delete('markRead');
    await read();
    await read();
    expect(watched.calls('markRead')).toBe(2);
    expect((await watched.store.terminals.read(ID)).record?.read).toBe(true);
  });

  test('is stored for every other account while the store refuses those of one account', async () => {
    const { broker, store, renewInBackground } = parts();
    const subjects = ['alice', 'bob', 'carol'].map((unionId) => ({ ...PHONE, unionId }));
    const readAll = async () => {
      for (const subject of subjects) await broker.read({ subject, region: 'CN', sessionIssuedAt: undefined });
    };
    await readAll();
    for (const subject of subjects) await renewInBackground(subjectId(subject));
    const { markRead } = store.terminals;
    vi.spyOn(store.terminals, 'markRead').mockImplementation((id, ...rest) =>
      id === ID ? Promise.reject(new BrokerError('store_unavailable')) : markRead(id, ...rest),
    );
    await readAll();
    const stored = await Promise.all(subjects.map((subject) => store.terminals.read(subjectId(subject))));
    expect(stored.map(({ record }) => record?.read)).toEqual([false, true, true]);
  });

  test('is stored once, although many reads get the token after a wait for a renewal that fails', async () => {
    const { clock, vendor, watched, renewInBackground, read } = parts();
    await read();
    clock.advance(50_000);
    await renewInBackground(ID);
    clock.advance(55_000);
    vendor.failure = new BrokerError('vendor_unavailable');
    const answers = await Promise.all(Array.from({ length: 20 }, read));
    expect(answers.map(accessTokenOf)).toEqual(Array(20).fill('token-2'));
    expect(watched.calls('markRead')).toBe(1);
  });
});
