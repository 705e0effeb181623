import { describe, expect, test } from 'vitest';
import { recordOf } from '../../../src/broker/cached-tokens.ts';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { SHARDS } from '../../../src/store/redis/keys.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Announcement, SaveOutcome } from '../../../src/token/ports.ts';
import { LEASE_MS, refreshAt } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { accountOf } from '../../../src/token/subject.ts';
import {
  brokerParts,
  PHONE_ID as ID,
  PHONE,
  PROACTIVE,
  recordOfOther,
  renewalRequest,
  SILENCE,
  tokenOrCode,
  virtualReplica,
} from '../../support/broker-parts.ts';
import { claimLeases } from '../../support/due-claims.ts';
import { makeDue } from '../../support/make-due.ts';

const REQUEST = renewalRequest();

/** A replica in virtual time. Its renewals accept no token of another login. */
function createReplica(options: Parameters<typeof virtualReplica>[0] = {}) {
  const parts = virtualReplica(options);
  const { store, renewal, vendor, pass } = parts;
  const announcements: Announcement[] = [];
  store.announcements.subscribe((announcement) => void announcements.push(announcement));
  /** Passes the time of the login. */
  const ended = async <Result>(running: Promise<Result>) => {
    const result = running.catch((error: unknown) => error);
    await pass(vendor.latencyMs);
    return result as Promise<Result>;
  };
  const renew = (overrides: Partial<RenewalRequest> = {}) =>
    ended(renewal.renew(renewalRequest({ satisfies: () => false, ...overrides })));
  const startInBackground = () => parts.renewInBackground(ID);
  const renewInBackground = () => ended(startInBackground());
  return { ...parts, announcements, renew, renewInBackground, startInBackground };
}

describe('a login under a lease', () => {
  test('is urgent if an app waits for it, and not if none does', async () => {
    const { vendor, renew, renewInBackground } = createReplica();
    await renew();
    await renewInBackground();
    await renew({ cause: 'due' });
    await renew({ cause: 'refused' });
    const urgencies = vendor.requests.map(({ urgency }) => urgency);
    expect(urgencies).toEqual(['foreground', 'background', 'foreground', 'foreground']);
  });

  test('counts how many tokens in a row no app has read', async () => {
    const { clock, store, renew, renewInBackground } = createReplica();
    expect((await renew()).record).toMatchObject({ read: true, unreadRenewals: 0 });
    for (const unreadRenewals of [1, 2, 3]) {
      expect((await renewInBackground()).record).toMatchObject({ read: false, unreadRenewals });
    }
    const { record } = await store.terminals.read(ID);
    await store.terminals.markRead(ID, record?.generation ?? 0, clock.now());
    expect((await renewInBackground()).record).toMatchObject({ read: false, unreadRenewals: 1 });
    expect((await renew({ cause: 'due' })).record).toMatchObject({ read: true, unreadRenewals: 0 });
  });

  test('is limited if an app can cause it at will: for its first token and for a refused one', async () => {
    const { vendor, renew, renewInBackground } = createReplica({ perHour: 1 });
    await renew();
    expect(await renew()).toMatchObject({ code: 'rate_limited' });
    expect(await renew({ cause: 'refused' })).toMatchObject({ code: 'rate_limited' });
    expect(await renew({ cause: 'due' })).toMatchObject({ outcome: 'login' });
    expect(await renewInBackground()).toMatchObject({ outcome: 'login' });
    expect(vendor.requests).toHaveLength(3);
  });

  test('stores the token, releases the lease, and gives a confirmed record', async () => {
    const { store, renew } = createReplica();
    const renewed = await renew();
    expect(renewed).toMatchObject({ outcome: 'login', checkedAt: expect.any(Number) });
    expect((await store.terminals.read(ID)).record).toEqual(renewed.record);
    expect((await store.terminals.acquire(ID, 1)).kind).toBe('granted');
  });

  test('replaces the token in the memory of a replica that reads it', async () => {
    const { pass, read, cache, clock, renewInBackground } = createReplica();
    const reading = read();
    await pass(0);
    await reading;
    const { record } = await renewInBackground();
    const cached = cache.getFresh(ID, clock.monotonic());
    expect(cached && recordOf(cached)).toEqual(record);
  });

  test('is not made if the store already has a token that will do; the due time of that token stays', async () => {
    const { clock, store, vendor, renew } = createReplica();
    await renew();
    const before = await claimLeases(store, 1, 1);
    expect(await renew({ satisfies: () => true })).toMatchObject({
      outcome: 'waited',
      checkedAt: Number.NEGATIVE_INFINITY,
    });
    expect(vendor.requests).toHaveLength(1);
    const after = await claimLeases(store, 1, 1);
    expect(after.nextInMs).toBe(before.nextInMs);
    expect(clock.now()).toBeGreaterThan(0);
  });

  test('is not made if the store already has a token that will do; the token is due as one that an app has read', async () => {
    const { clock, store, renew, renewInBackground } = createReplica();
    await renew();
    const { record } = await renewInBackground();
    expect((await claimLeases(store, 1, 1)).nextInMs).toBe(record.token.expiresAt - clock.now());
    await renew({ satisfies: () => true });
    const { nextInMs } = await claimLeases(store, 1, 1);
    expect(nextInMs).toBe(Math.ceil(refreshAt(record, PROACTIVE) - clock.now()));
  });

  test('reports that the former token was missed if it ends during the login', async () => {
    const { pass, vendor, told, renew } = createReplica();
    await renew();
    await pass(vendor.lifeMs - 1_000);
    vendor.latencyMs = 1_000;
    expect(await renew({ cause: 'due' })).toMatchObject({ outcome: 'login' });
    expect(told('endedUnrenewed')).toEqual([[]]);
  });

  test('is not sent if its lease may have expired when its turn comes: it asks for the lease again', async () => {
    const { pass, vendor, watched, renewal } = createReplica();
    watched.down.add('extend');
    vendor.queueMs = LEASE_MS;
    const running = renewal.renew(REQUEST);
    await pass(LEASE_MS);
    expect([vendor.requests.length, vendor.sent]).toEqual([2, 0]);
    watched.down.clear();
    await pass(LEASE_MS);
    expect((await running).outcome).toBe('login');
    expect(vendor.sent).toBe(1);
  });

  test('is not made for a session that an erasure has ended', async () => {
    const { store, vendor, clock, renew } = createReplica();
    await store.accounts.erase('alice');
    expect(await renew({ sessionIssuedAt: clock.now() - 1 })).toMatchObject({ code: 'session_invalid' });
    expect(vendor.requests).toHaveLength(0);
  });

  test('is made in the background also after an erasure: the account has logged in again since', async () => {
    const { store, clock, renew, renewInBackground } = createReplica();
    await store.accounts.erase('alice');
    await renew({ sessionIssuedAt: clock.now() + 1_000 });
    expect(await renewInBackground()).toMatchObject({ outcome: 'login' });
  });

  test('of a session from before a known erasure asks for no lease, which would move the due time of the token', async () => {
    const { clock, pass, store, watched, renew } = createReplica();
    const before = clock.now();
    await pass(1_000);
    await store.accounts.erase('alice');
    await renew({ sessionIssuedAt: clock.now() + 1_000 });
    expect(await renew({ sessionIssuedAt: before })).toMatchObject({ code: 'session_invalid' });
    expect(watched.calls('acquire')).toBe(1);
  });
});

describe('a failed login', () => {
  const codesOf = (announcements: readonly Announcement[]) =>
    announcements.flatMap((announcement) => (announcement.kind === 'failed' ? [announcement.code] : []));

  test('is announced with its code', async () => {
    const { vendor, announcements, renew } = createReplica();
    vendor.failure = new BrokerError('vendor_busy');
    await renew();
    vendor.failure = new BrokerError('vendor_rejected');
    await renew();
    vendor.failure = new Error('a defect');
    await renew();
    expect(codesOf(announcements)).toEqual(['vendor_busy', 'vendor_rejected', 'internal']);
  });

  test('of a background renewal is announced, unless only the login budget was used up', async () => {
    const { vendor, announcements, renew, renewInBackground } = createReplica();
    await renew();
    vendor.failure = new BrokerError('vendor_busy');
    await renewInBackground();
    vendor.failure = new BrokerError('vendor_rejected');
    await renewInBackground();
    expect(codesOf(announcements)).toEqual(['vendor_rejected']);
  });

  test.each([
    ['found no place in the login queue', new BrokerError('vendor_busy'), 2_000],
    ['met an open circuit breaker', new BrokerError('vendor_unavailable', { isUnsent: true }), 15_000],
  ])('takes no permit of the account or the terminal if it %s', async (_, failure, coolDownMs) => {
    const { vendor, pass, renew } = createReplica({ perHour: 1 });
    vendor.failure = failure;
    for (const cause of ['new', 'refused', 'refused', 'refused', 'refused', 'refused'] as const) {
      expect(await renew({ cause })).toBe(failure);
      await pass(coolDownMs);
    }
    vendor.failure = undefined;
    expect(await renew({ cause: 'refused' })).toMatchObject({ outcome: 'login' });
  });

  test('is not repeated for the account before the time that the vendor asks for', async () => {
    const { store, vendor, pass, renew, renewInBackground } = createReplica();
    await renew();
    vendor.failure = new BrokerError('vendor_unavailable', { retryAfter: 600, waitMs: 600_000 });
    await renewInBackground();
    vendor.failure = undefined;
    const sent = vendor.requests.length;
    await pass(590_000);
    expect(await renew({ cause: 'refused', satisfies: () => false })).toMatchObject({
      code: 'vendor_unavailable',
      retryAfter: 10,
    });
    expect((await claimLeases(store, 10, 1_000)).claims).toEqual([]);
    expect(vendor.requests).toHaveLength(sent);
    await pass(11_000);
    expect(await renew({ cause: 'refused', satisfies: () => false })).toMatchObject({ outcome: 'login' });
  });

  test('counts against the limit of the account if it was sent', async () => {
    const { vendor, pass, renew } = createReplica({ perHour: 1 });
    vendor.failure = new BrokerError('vendor_unavailable');
    expect(await renew()).toMatchObject({ code: 'vendor_unavailable' });
    await pass(60_000);
    expect(await renew()).toMatchObject({ code: 'rate_limited' });
  });

  test('removes the token only if the vendor has closed the account', async () => {
    const { store, vendor, renew, renewInBackground } = createReplica();
    await renew();
    vendor.failure = new BrokerError('vendor_rejected');
    await renewInBackground();
    expect((await store.terminals.read(ID)).record).toBeDefined();
    vendor.failure = new BrokerError('account_disabled');
    await renewInBackground();
    expect((await store.terminals.read(ID)).record).toBeUndefined();
  });

  test('gives the vendor’s error, and logs a warning, if its lease cannot be released', async () => {
    const { watched, vendor, lines, renew } = createReplica();
    watched.down.add('release');
    vendor.failure = new BrokerError('vendor_timeout');
    expect(await renew()).toMatchObject({ code: 'vendor_timeout' });
    expect(lines()).toMatchObject([{ subject: ID, msg: 'a lease could not be released; it expires by itself' }]);
  });
});

describe('a token that the store does not take', () => {
  /** A replica whose store answers the next write with `outcome`, after `ms`. */
  function replicaWithAnswer(outcome: SaveOutcome | 'failed', ms = 0) {
    const replica = createReplica();
    const { clock, store } = replica;
    const { terminals } = store;
    const save = terminals.save.bind(terminals);
    const answer = { outcome };
    const slowSave: typeof terminals.save = async (lease, record, dueAt) => {
      if (answer.outcome === 'saved') await save(lease, record, dueAt);
      await new Promise<void>((resolve) => void clock.setTimer(resolve, ms));
      if (answer.outcome === 'failed') throw new BrokerError('store_unavailable');
      return answer.outcome;
    };
    // The broker calls the methods through a proxy, so the test replaces the method of the store behind it.
    Object.assign(terminals, { save: slowSave });
    return { ...replica, answer };
  }

  test('is written back at once if only the write has failed, and the log says so', async () => {
    const { watched, store, lines, renew } = createReplica();
    watched.down.add('save');
    const renewed = await renew();
    expect(renewed).toMatchObject({ outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY });
    expect(lines()).toMatchObject([
      { subject: ID, msg: 'a new token could not be stored; the broker writes it back later' },
      { written: 1, msg: 'tokens, logouts and erasures were written back to the store' },
    ]);
    expect((await store.terminals.read(ID)).record).toEqual(renewed.record);
  });

  test('is written back after a second if the store fails longer', async () => {
    const { watched, pass, store, renew } = createReplica();
    watched.down.add('save').add('restore');
    const { record } = await renew();
    watched.down.clear();
    await pass(999);
    expect((await store.terminals.read(ID)).record).toBeUndefined();
    await pass(1);
    expect((await store.terminals.read(ID)).record).toEqual(record);
  });

  test('is given to the app as suspect if another login may have ended it, so that the next read renews it', async () => {
    const { renew } = replicaWithAnswer('suspect');
    expect(await renew()).toMatchObject({ outcome: 'login', record: { suspect: true } });
  });

  test('is lost if the account has too many terminals', async () => {
    const { renew } = replicaWithAnswer('terminal_limit');
    expect(await renew()).toMatchObject({ code: 'terminal_limit' });
  });

  test.each([
    ['leaves memory', 'a logout or an erasure came first', 'outdated', false],
    ['leaves memory', 'the account has too many terminals', 'terminal_limit', false],
    ['stays in memory', 'the store has taken it', 'saved', true],
    ['stays in memory', 'another login may have ended it', 'suspect', true],
    ['stays in memory', 'the write fails, and it is written back', 'failed', true],
  ] as const)('%s if the store answers late: %s', async (_, _why, outcome, stays) => {
    const { pass, read, cache } = replicaWithAnswer(outcome, 400);
    const reading = read();
    await pass(200);
    await reading;
    expect(cache.tokens.find(ID)).toBeDefined();
    await pass(300);
    expect(cache.tokens.find(ID) !== undefined).toBe(stays);
  });

  test('gives way to a newer token of the store, for a background renewal too', async () => {
    const { clock, pass, store, vendor, startInBackground, renew } = createReplica();
    const { record } = await renew();
    vendor.latencyMs = 1_000;
    const running = startInBackground();
    await pass(0);
    // Sent after the login of the claim was answered.
    const generation = clock.now() + 1_001;
    const newer = { ...record, generation, answeredAt: generation };
    await store.terminals.restore(newer, clock.now() + 1_000);
    await pass(1_000);
    expect(await running).toEqual({
      record: newer,
      outcome: 'waited',
      checkedAt: expect.any(Number),
      erasedAt: undefined,
    });
  });

  test.each(['saved before it', 'saved after it'] as const)(
    'is followed by another login if it overlapped with one that was sent later: that one was %s',
    async (order) => {
      const { clock, pass, store, vendor, startInBackground, renew } = createReplica();
      const { record } = await renew();
      vendor.latencyMs = 1_000;
      const running = startInBackground();
      await pass(500);
      const generation = clock.now();
      const answeredAt = order === 'saved before it' ? generation : generation + 2_000;
      const later = { ...record, generation, answeredAt };
      if (order === 'saved before it') expect(await store.terminals.restore(later, clock.now() + 9_000)).toBe('saved');
      await pass(500);
      if (order === 'saved after it') {
        expect(await running).toMatchObject({ outcome: 'login' });
        expect(await store.terminals.restore(later, clock.now() + 9_000)).toBe('suspect');
        expect((await claimLeases(store, SHARDS, LEASE_MS)).claims).toMatchObject([{ record: { suspect: true } }]);
        return;
      }
      await pass(1_000);
      expect(await running).toMatchObject({ outcome: 'login', record: { suspect: false } });
      expect(vendor.requests).toHaveLength(3);
      expect((await store.terminals.read(ID)).record).toMatchObject({ suspect: false });
    },
  );
});

describe('a login without a lease', () => {
  /** A replica that gets no lease. */
  function createReplicaWithoutLease({ hears = true, knowsClock = true } = {}) {
    const parts = virtualReplica(hears ? {} : { parts: { announcements: SILENCE } });
    const { clock, memory, pass, broker, stored } = parts;
    const { down } = parts.watched;
    // The first answer of the store shows its clock.
    const clockFor = () => (knowsClock || !down.has('acquire') ? clock.now() : undefined);
    Object.assign(memory.terminals, { clockFor });
    down.add('acquire');
    /** Starts a read of an app. Its result is the code of an error, or the token. */
    const read = (sessionIssuedAt = clock.now(), replica = broker) =>
      tokenOrCode(replica.read({ subject: PHONE, region: 'CN', sessionIssuedAt }));
    const readNow = async (sessionIssuedAt = clock.now()) => {
      const answer = read(sessionIssuedAt);
      await pass(0);
      return answer;
    };
    const storeReturns = () => {
      down.clear();
      parts.storeReturns('same');
    };
    /** A token that another replica obtained, `agoMs` ago. */
    const storeToken = async (agoMs: number): Promise<TokenRecord> => {
      const issuedAt = clock.now() - 30_000;
      const { token, ...record } = recordOfOther(clock.now() - agoMs);
      const older = { ...record, token: { ...token, issuedAt, expiresAt: issuedAt + 60_000 } };
      expect(await memory.terminals.restore(older, clock.now() + 9_000)).toBe('saved');
      return older;
    };
    return { ...parts, down, read, readNow, stored, storeToken, storeReturns };
  }

  const ENDS = [
    ['logout', 'session_forbidden'],
    ['erasure', 'session_invalid'],
  ] as const;

  describe.each(ENDS)('that a %s ends', (kind, code) => {
    /** A login during which its end comes. The store returns `during it`, or takes nothing until the test says so. */
    async function loginAndEnd({
      hears = true,
      returns,
    }: {
      readonly hears?: boolean;
      readonly returns: 'during it' | 'after it';
    }) {
      const replica = createReplicaWithoutLease({ hears });
      const { pass, vendor, memory, down, read, storeReturns } = replica;
      vendor.latencyMs = 3_000;
      const answer = read();
      await pass(500);
      if (returns === 'during it') storeReturns();
      await (kind === 'logout' ? memory.terminals.remove(ID) : memory.accounts.erase('alice'));
      if (returns === 'after it') down.add('restore').add('read');
      await pass(2_500);
      return { ...replica, answer: await answer };
    }

    test.each([
      ['gives its token to nobody', { returns: 'during it' }],
      ['is not written back, if the store fails when the login ends', { returns: 'after it' }],
      ['is refused by the store, if the announcement was lost', { hears: false, returns: 'during it' }],
    ] as const)('%s: not to the app, not to memory, not to the store', async (_, options) => {
      const { answer, cache, writeBack, pass, vendor, storeReturns, stored, memory } = await loginAndEnd(options);
      expect(answer).toBe(code);
      expect([writeBack.hasRecordOf(ID), cache.tokens.find(ID)]).toEqual([false, undefined]);
      expect(vendor.requests).toHaveLength(1);
      storeReturns();
      await pass(10_000);
      expect([cache.tokens.find(ID), await stored()]).toEqual([undefined, undefined]);
      expect(await memory.accounts.find('alice')).toMatchObject({ identity: undefined, records: [] });
    });

    test('is refused by the store and leaves memory, if the announcement was lost and the write is late', async () => {
      const { answer, cache, pass, storeReturns, stored } = await loginAndEnd({ hears: false, returns: 'after it' });
      // Neither this replica nor a store that answers knows of it so far.
      expect(answer).toBe('token-1');
      expect(cache.tokens.find(ID)).toBeDefined();
      storeReturns();
      await pass(0);
      expect([cache.tokens.find(ID), await stored()]).toEqual([undefined, undefined]);
    });
  });

  test('is not ended by a renewal of another replica', async () => {
    const { pass, vendor, read, storeToken, clock, memory } = createReplicaWithoutLease();
    vendor.latencyMs = 3_000;
    const answer = read();
    await pass(500);
    const { generation } = await storeToken(0);
    await pass(2_500);
    // The two logins overlapped, so the kept token is suspect, and this one logs in once more.
    await pass(3_000);
    expect(await answer).toBe('token-2');
    const { record } = await memory.terminals.read(ID);
    expect(record?.token.fields['accessToken']).toBe('token-2');
    expect(record?.generation).toBeGreaterThan(generation);
    expect(clock.now()).toBeGreaterThan(generation);
  });

  test('hides no erasure that only the store knows: an older session stays refused', async () => {
    const { pass, memory, clock, readNow } = createReplicaWithoutLease({ hears: false });
    const before = clock.now();
    await pass(1_000);
    await memory.accounts.erase('alice');
    await pass(1_000);
    expect(await readNow()).toBe('token-1');
    expect(await readNow(before)).toBe('session_invalid');
  });

  test('is refused to a session from before an erasure that came before the login, and that is heard of during it', async () => {
    const { pass, read, memory, cache, vendor, clock, down } = createReplicaWithoutLease({ hears: false });
    down.add('read').add('restore');
    const before = clock.now();
    await pass(1_000);
    const erasedAt = await memory.accounts.erase('alice');
    await pass(10);
    vendor.latencyMs = 1_000;
    const answer = read(before);
    await pass(500);
    expect(vendor.requests).toHaveLength(1);
    cache.erased(accountOf(ID), erasedAt);
    await pass(500);
    expect(await answer).toBe('session_invalid');
  });

  test('hides no erasure that only the store knows either, after the replica has renewed its token under a lease', async () => {
    const { pass, clock, memory, down, renewInBackground, readNow } = createReplicaWithoutLease({ hears: false });
    const before = clock.now();
    await pass(1_000);
    await memory.accounts.erase('alice');
    await pass(1_000);
    expect(await readNow()).toBe('token-1');
    down.delete('acquire');
    const renewing = renewInBackground(ID);
    await pass(100);
    await renewing;
    expect(await readNow(before)).toBe('session_invalid');
  });

  test('brings no account back for a session from before its erasure, although another read finds the token in memory', async () => {
    const { pass, read, stored, memory, clock, down, readNow } = createReplicaWithoutLease({ hears: false });
    const before = clock.now();
    await pass(1_000);
    await memory.accounts.erase('alice');
    await pass(1_000);
    down.add('restore').add('read');
    // Neither this replica nor a store that answers knows of the erasure.
    expect(await readNow(before)).toBe('token-1');
    down.delete('restore');
    down.delete('read');
    void read();
    await pass(0);
    expect(await stored()).toBeUndefined();
    await pass(5_000);
    expect((await stored())?.token.fields['accessToken']).not.toBe('token-1');
  });

  test('is not made if another read got a token while this one waited for the store', async () => {
    const { pass, vendor, memory, down, read, storeToken, told, readNow } = createReplicaWithoutLease();
    down.clear();
    Object.assign(memory.terminals, { acquire: () => new Promise(() => undefined) });
    const waiting = read();
    await pass(100);
    await storeToken(0);
    expect(await readNow()).toBe('of another replica');
    await pass(100);
    expect(await waiting).toBe('of another replica');
    expect(vendor.requests).toEqual([]);
    expect(told('tokenServed').map(([outcome]) => outcome)).toEqual(['redis', 'waited']);
    expect(told('renewalFailed')).toEqual([]);
  });

  test('is not sent if another read got a token while it waited for its place', async () => {
    const { pass, vendor, read, storeToken, told, readNow } = createReplicaWithoutLease();
    vendor.queueMs = 100;
    const waiting = read();
    await pass(50);
    await storeToken(0);
    expect(await readNow()).toBe('of another replica');
    await pass(50);
    expect(await waiting).toBe('of another replica');
    expect(vendor.sent).toBe(0);
    expect(told('renewalFailed')).toEqual([]);
  });

  test('is not repeated if the store has the token of a login that was sent after it had ended', async () => {
    const { pass, vendor, read, storeToken } = createReplicaWithoutLease({ hears: false });
    vendor.latencyMs = 1_000;
    const answer = read();
    await pass(500);
    await storeToken(-5_000);
    await pass(500);
    expect(await answer).toBe('of another replica');
    expect(vendor.requests).toHaveLength(1);
  });

  test('is newer than a login that was sent while it waited for its place', async () => {
    const { pass, vendor, read, stored, clock, memory } = createReplicaWithoutLease();
    vendor.queueMs = 100;
    const answer = read();
    await pass(50);
    const sentAt = clock.now();
    const record = recordOfOther(sentAt, { answeredAt: sentAt + 10 });
    expect(await memory.terminals.restore(record, sentAt + 9_000)).toBe('saved');
    await pass(50);
    expect(await answer).toBe('token-1');
    expect(await stored()).toMatchObject({ suspect: false, token: { fields: { accessToken: 'token-1' } } });
  });

  test.each([
    ['the vendor', 'latencyMs'],
    ['its place', 'queueMs'],
  ] as const)('is ended by a logout that may have come when it began to wait for %s', async (_what, wait) => {
    const { pass, vendor, cache, down, read, clock } = createReplicaWithoutLease();
    vendor[wait] = 1_000;
    down.add('restore').add('drop').add('read');
    const [sentAt, answer] = [clock.now(), read()];
    await pass(500);
    cache.loggedOut(ID, sentAt);
    await pass(500);
    expect(await answer).toBe('session_forbidden');
  });

  test('is ended by a logout that comes while it waits for its place', async () => {
    const { pass, vendor, read, stored, memory } = createReplicaWithoutLease();
    vendor.queueMs = 100;
    const answer = read();
    await pass(50);
    await memory.terminals.remove(ID);
    await pass(50);
    expect(await answer).toBe('session_forbidden');
    expect(await stored()).toBeUndefined();
  });

  test('is written at once if the store can write, although it gave no lease', async () => {
    const { stored, readNow } = createReplicaWithoutLease();
    expect(await readNow()).toBe('token-1');
    expect(await stored()).toMatchObject({
      read: true,
      unreadRenewals: 0,
      token: { fields: { accessToken: 'token-1' } },
    });
  });

  test('is not written before the clock of the store is known: an erasure after it refuses no new session', async () => {
    const { pass, down, memory, clock, readNow } = createReplicaWithoutLease({ knowsClock: false });
    expect(await readNow()).toBe('token-1');
    expect((await memory.terminals.read(ID)).record).toBeUndefined();
    down.clear();
    await pass(2_000);
    expect((await memory.terminals.read(ID)).record).toBeDefined();
    expect(await memory.accounts.erase('alice')).toBeLessThanOrEqual(clock.now());
  });

  test('is written at once when the store is healthy again, so no worker renews the token before it', async () => {
    const { pass, vendor, down, clock, memory, storeToken, stored, storeReturns, readNow } =
      createReplicaWithoutLease();
    await storeToken(30_000);
    await makeDue(memory, ID, clock.now());
    down.add('read').add('restore');
    expect(await readNow()).toBe('token-1');
    expect(await stored()).toMatchObject({ token: { fields: { accessToken: 'of another replica' } } });
    await pass(300);
    storeReturns();
    await pass(0);
    expect(await stored()).toMatchObject({ token: { fields: { accessToken: 'token-1' } } });
    expect((await claimLeases(memory, 10, LEASE_MS)).claims).toEqual([]);
    expect(vendor.requests).toHaveLength(1);
  });

  test.each([true, false])(
    'makes the token of a later login due at once, because the vendor has ended one of the two; it knows the clock of the store: %s',
    async (knowsClock) => {
      // It has just started, so it has not heard of the other login.
      const replica = createReplicaWithoutLease({ hears: false, knowsClock });
      const { pass, vendor, down, clock, memory, storeToken, stored, renewal } = replica;
      const { generation } = await storeToken(knowsClock ? -10 : 1_000);
      vendor.latencyMs = 100;
      const running = renewal
        .renew(renewalRequest({ satisfies: ({ suspect }) => !suspect }))
        .catch((error: unknown) => error);
      await pass(99);
      expect(vendor.requests).toHaveLength(1);
      down.delete('acquire');
      await pass(1);
      expect(await stored()).toMatchObject({ generation, suspect: true });
      const { claims } = await claimLeases(memory, 10, LEASE_MS);
      // It takes the lease itself, or leaves it to a worker.
      expect(claims.length === 1 || (await memory.terminals.acquire(ID, 1)).kind === 'held').toBe(true);
      for (const { lease } of claims) await memory.terminals.release(lease, clock.now());
      await pass(10_000);
      await running;
      expect(await stored()).toMatchObject({ suspect: false });
    },
  );

  test.each([true, false])(
    'keeps no dead token if two replicas log in without a lease just after a logout; they know the clock of the store: %s',
    async (knowsClock) => {
      const { pass, vendor, watched, memory, read, stored, clock } = createReplicaWithoutLease({ knowsClock });
      await memory.terminals.remove(ID);
      await pass(1_000);
      const other = brokerParts({ clock, store: watched.store, vendor });
      vendor.latencyMs = 100;
      const answers = [read(), read(clock.now(), other.broker)];
      await pass(99);
      watched.down.clear();
      await pass(1_000);
      expect((await Promise.all(answers)).every((token) => /^token-/.test(String(token)))).toBe(true);
      // The vendor takes the token of the last login only.
      const kept = await stored();
      const isAlive = kept?.token.fields['accessToken'] === `token-${vendor.requests.length}`;
      expect(isAlive || kept?.suspect).toBe(true);
    },
  );

  describe('starts from what this replica knows:', () => {
    const recordOf = (generation: number, at: number): TokenRecord => {
      const token = { fields: {}, issuedAt: at, expiresAt: at + 60_000 };
      return recordOfOther(generation, { region: 'DE', token, read: false, unreadRenewals: 3 });
    };
    /** Renews at a store that neither gives a lease nor writes. */
    async function renewed(
      { pass, renewal, down }: ReturnType<typeof createReplicaWithoutLease>,
      overrides: Partial<RenewalRequest> = {},
    ) {
      down.add('restore');
      const result = renewal.renew(renewalRequest(overrides)).catch(({ code }: BrokerError) => code);
      await pass(0);
      return result;
    }

    test('the clock of the store, and the time of the answer too', async () => {
      const replica = createReplicaWithoutLease();
      Object.assign(replica.memory.terminals, { clockFor: () => 1_700_000_000_000.5 });
      const record = { generation: 1_700_000_000_000, answeredAt: 1_700_000_000_000 };
      expect(await renewed(replica)).toMatchObject({ outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY, record });
    });

    test('without the clock of the store, a generation 5 s behind its own clock', async () => {
      const replica = createReplicaWithoutLease({ knowsClock: false });
      const generation = replica.clock.now() - 5_000;
      expect(await renewed(replica)).toMatchObject({
        record: { generation, read: true, unreadRenewals: 0, suspect: false },
      });
    });

    test('a newer generation than the known token and its answer have', async () => {
      const replica = createReplicaWithoutLease();
      const known = { ...recordOf(replica.clock.now() + 60_000, replica.clock.now()) };
      expect(await renewed(replica, { known })).toMatchObject({ record: { generation: known.generation + 1 } });
      const answered = { ...known, answeredAt: known.generation + 500 };
      expect(await renewed(replica, { known: answered })).toMatchObject({
        record: { generation: known.generation + 501, answeredAt: known.generation + 501 },
      });
    });

    test('a newer generation than the last logout and the last stored token that it has heard of', async () => {
      const replica = createReplicaWithoutLease();
      replica.cache.loggedOut(ID, 9_000_000_000_000);
      expect(await renewed(replica)).toMatchObject({ record: { generation: 9_000_000_000_001 } });
    });

    test('the country of the known token, and the urgency of an app', async () => {
      const replica = createReplicaWithoutLease();
      await renewed(replica, { known: recordOf(1, replica.clock.now()) });
      expect(replica.vendor.requests).toMatchObject([{ region: 'DE', urgency: 'foreground', budgetMs: 5_000 }]);
    });

    test('it is not made while the known token is due, but far from its end: the read can wait for the store', async () => {
      const replica = createReplicaWithoutLease();
      const { pass, vendor, clock } = replica;
      const known = recordOf(1, clock.now());
      await pass(53_999);
      expect(await renewed(replica, { known, cause: 'due' })).toBe('store_unavailable');
      expect(vendor.requests).toHaveLength(0);
      await pass(1);
      expect(await renewed(replica, { known, cause: 'due' })).toMatchObject({ outcome: 'login' });
    });

    test('it is made for a suspect token, however far from its end', async () => {
      const replica = createReplicaWithoutLease();
      const known = { ...recordOf(1, replica.clock.now()), suspect: true };
      expect(await renewed(replica, { known, cause: 'due' })).toMatchObject({ outcome: 'login' });
    });
  });
});
