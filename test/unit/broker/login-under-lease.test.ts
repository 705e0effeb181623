import { describe, expect, test } from 'vitest';
import { HeldLeases } from '../../../src/broker/login-under-lease.ts';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Announcement, SaveOutcome } from '../../../src/token/ports.ts';
import { LEASE_MS, refreshAt } from '../../../src/token/renewal-timing.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PROACTIVE } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { makeDue } from '../../support/make-due.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);
const REQUEST = {
  id: ID,
  subject: SUBJECT,
  region: 'CN',
  known: undefined,
  cause: 'new',
  urgency: 'foreground',
} as const;

/** A replica on a store with virtual time. */
function createReplica({ perHour = 0, policy = PROACTIVE } = {}) {
  const { clock, pass } = virtualClock();
  const watched = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 20 }));
  const { store } = watched;
  const announcements: Announcement[] = [];
  store.announcements.subscribe((announcement) => void announcements.push(announcement));
  const { logger: log, lines } = captureLog('debug');
  const { observer, told } = recordingObserver();
  const parts = brokerParts({ clock, store, perHour, policy, log, observer });
  /** Renews, and passes the time of the login. */
  const renew = async (overrides: Partial<RenewalRequest> = {}) => {
    const request = { id: ID, subject: SUBJECT, region: 'CN', known: undefined, sessionIssuedAt: undefined };
    const running = parts.renewal.renew({
      ...request,
      cause: 'new',
      urgency: 'foreground',
      satisfies: () => false,
      ...overrides,
    });
    const result = running.catch((error: unknown) => error);
    await pass(parts.vendor.latencyMs);
    return result as Promise<Awaited<typeof running>>;
  };
  const renewInBackground = async () => {
    const result = parts.renewInBackground(ID).catch((error: unknown) => error);
    await pass(parts.vendor.latencyMs);
    return result as ReturnType<typeof parts.renewInBackground>;
  };
  return { ...parts, clock, pass, watched, announcements, lines, told, renew, renewInBackground };
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

  test('extends its lease every third of its duration, and no longer than the login runs', async () => {
    const { pass, vendor, watched, renew } = createReplica();
    vendor.latencyMs = 2 * LEASE_MS;
    await renew();
    expect(watched.calls('extend')).toBe(5);
    await pass(60_000);
    expect(watched.calls('extend')).toBe(5);
  });

  test('extends no lease after it has failed', async () => {
    const { pass, vendor, watched, renew } = createReplica();
    vendor.failure = new BrokerError('vendor_timeout');
    await renew();
    await pass(60_000);
    expect(watched.calls('extend')).toBe(0);
  });

  test('goes on if its lease is lost, and logs the loss once', async () => {
    const { pass, store, vendor, lines, renewal, clock } = createReplica();
    vendor.latencyMs = 2 * LEASE_MS;
    const running = renewal.renew({ ...REQUEST, sessionIssuedAt: undefined, satisfies: () => true });
    await pass(10);
    const { terminals } = store;
    const extend = terminals.extend;
    terminals.extend = async (leases) => leases;
    await pass(LEASE_MS);
    terminals.extend = extend;
    await pass(LEASE_MS);
    expect((await running).outcome).toBe('login');
    expect(lines()).toMatchObject([{ subject: ID, msg: expect.stringContaining('a lease was lost') }]);
    expect(clock.now()).toBeGreaterThan(0);
  });

  test('stores the token, releases the lease, and gives a confirmed record', async () => {
    const { store, renew } = createReplica();
    const renewed = await renew();
    expect(renewed).toMatchObject({ outcome: 'login', checkedAt: expect.any(Number) });
    expect((await store.terminals.read(ID)).record).toEqual(renewed.record);
    expect((await store.terminals.acquire(ID, 1)).kind).toBe('granted');
  });

  test('replaces the token in the memory of a replica that reads it', async () => {
    const { pass, broker, cache, clock, renewInBackground } = createReplica();
    const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
    await pass(0);
    await reading;
    const { record } = await renewInBackground();
    const cached = cache.getFresh(ID, clock.now())?.served.record;
    expect(cached?.generation).toBe(record.generation);
    expect(cached?.token.fields).toEqual(record.token.fields);
  });

  test('is not made if the store already has a token that will do; the due time of that token stays', async () => {
    const { clock, store, vendor, renew } = createReplica();
    await renew();
    const before = await store.dueQueue.claim(1, 1);
    expect(await renew({ satisfies: () => true })).toMatchObject({
      outcome: 'waited',
      checkedAt: Number.NEGATIVE_INFINITY,
    });
    expect(vendor.requests).toHaveLength(1);
    const after = await store.dueQueue.claim(1, 1);
    expect(after.nextInMs).toBe(before.nextInMs);
    expect(clock.now()).toBeGreaterThan(0);
  });

  test('is not made if the store already has a token that will do; the token is due as one that an app has read', async () => {
    const { clock, store, renew, renewInBackground } = createReplica();
    await renew();
    const { record } = await renewInBackground();
    expect((await store.dueQueue.claim(1, 1)).nextInMs).toBe(record.token.expiresAt - clock.now());
    await renew({ satisfies: () => true });
    const { nextInMs } = await store.dueQueue.claim(1, 1);
    expect(nextInMs).toBe(refreshAt(record, PROACTIVE) - clock.now());
  });

  test.each([
    ['ended before it, although an app had read it', 1, 'proactive', [[1]]],
    ['is still valid', -1_000, 'proactive', []],
    ['ended before it, but is renewed on demand only', 1, 'on-demand', []],
  ] as const)('reports whether the former token was missed: it %s', async (_, afterItsEndMs, mode, reported) => {
    const { pass, vendor, told, renew } = createReplica({ policy: { ...PROACTIVE, mode } });
    await renew();
    await pass(vendor.lifeMs + afterItsEndMs - vendor.latencyMs);
    await renew();
    expect(vendor.requests).toHaveLength(2);
    expect(told('endedUnrenewed')).toEqual(reported);
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

  test('needs the country of the account', async () => {
    const { vendor, renew } = createReplica();
    const failure = await renew({ region: undefined });
    expect(failure).toMatchObject({ code: 'request_invalid', detail: expect.stringContaining('regRegion') });
    expect(vendor.requests).toHaveLength(0);
  });

  test('ends with session_forbidden, and stores nothing, if the terminal is logged out meanwhile', async () => {
    const { pass, store, vendor, renewal } = createReplica();
    vendor.latencyMs = 1_000;
    const running = renewal
      .renew({ ...REQUEST, sessionIssuedAt: undefined, satisfies: () => true })
      .catch((error: unknown) => error);
    await pass(10);
    await store.terminals.remove(ID);
    await pass(1_000);
    expect(await running).toMatchObject({ code: 'session_forbidden' });
    expect((await store.terminals.read(ID)).record).toBeUndefined();
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
    expect((await store.dueQueue.claim(10, 1_000)).claims).toEqual([]);
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

  test('removes the tokens of all terminals of a closed account, and of no other account', async () => {
    const { store, vendor, renew, renewInBackground } = createReplica();
    const subjects = [SUBJECT, { ...SUBJECT, uniqueId: 'tablet' }, { ...SUBJECT, unionId: 'bob' }];
    for (const subject of subjects) await renew({ id: subjectId(subject), subject });
    vendor.failure = new BrokerError('account_disabled');
    await renewInBackground();
    const stored = await Promise.all(subjects.map((subject) => store.terminals.read(subjectId(subject))));
    expect(stored.map(({ record }) => record?.subject.unionId)).toEqual([undefined, undefined, 'bob']);
  });

  test('gives the vendor’s error, and logs a warning, if the token of a closed account cannot be removed', async () => {
    const { watched, vendor, lines, renew } = createReplica();
    await renew();
    watched.down.add('remove');
    vendor.failure = new BrokerError('account_disabled');
    expect(await renew()).toMatchObject({ code: 'account_disabled' });
    expect(lines()).toMatchObject([
      { subject: ID, msg: 'the token of a closed account could not be removed from the store' },
    ]);
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
  function replicaWithAnswer(outcome: SaveOutcome, ms = 0) {
    const replica = createReplica();
    const { clock, store } = replica;
    const { terminals } = store;
    const save = terminals.save.bind(terminals);
    const answer = { outcome };
    const slowSave: typeof terminals.save = async (lease, record, dueAt) => {
      if (answer.outcome === 'saved') await save(lease, record, dueAt);
      await new Promise<void>((resolve) => void clock.setTimer(resolve, ms));
      return answer.outcome;
    };
    // The broker calls the methods through a proxy, so the test replaces the method of the store behind it.
    Object.assign(terminals, { save: slowSave });
    return { ...replica, answer };
  }

  test('is written back later, and the log says so', async () => {
    const { watched, pass, store, lines, renew } = createReplica();
    watched.down.add('save');
    expect(await renew()).toMatchObject({ outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY });
    expect(lines()).toMatchObject([
      { subject: ID, msg: 'a new token could not be stored; the broker writes it back later' },
    ]);
    await pass(1_000);
    expect((await store.terminals.read(ID)).record).toBeDefined();
  });

  test('is lost if the account has too many terminals', async () => {
    const { renew } = replicaWithAnswer('terminal_limit');
    expect(await renew()).toMatchObject({ code: 'terminal_limit' });
  });

  test.each(['outdated', 'terminal_limit'] as const)(
    'is removed from memory if the store answers late: %s',
    async (outcome) => {
      const { pass, broker, cache, clock } = replicaWithAnswer(outcome, 400);
      const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
      await pass(200);
      await reading;
      expect(cache.getStale(ID)).toBeDefined();
      await pass(300);
      expect(cache.getStale(ID)).toBeUndefined();
    },
  );

  test('stays in memory if the store has taken it, but answers late', async () => {
    const { pass, broker, cache, clock } = replicaWithAnswer('saved', 400);
    const reading = broker.read({ subject: SUBJECT, region: 'CN', sessionIssuedAt: clock.now() });
    await pass(200);
    await reading;
    await pass(300);
    expect(cache.getStale(ID)).toBeDefined();
  });

  test('gives way to a newer token of the store, for a background renewal too', async () => {
    const { clock, pass, store, vendor, renewal, renew } = createReplica();
    const { record } = await renew();
    await makeDue(store, ID, clock.now());
    const [claim] = (await store.dueQueue.claim(1, LEASE_MS)).claims;
    if (!claim) throw new Error('nothing was claimed');
    vendor.latencyMs = 1_000;
    const running = renewal.renewClaimed(claim);
    const newer = { ...record, generation: claim.lease.generation + 1 };
    await store.terminals.restore(newer, clock.now() + 1_000);
    await pass(1_000);
    expect(await running).toEqual({
      record: newer,
      outcome: 'waited',
      checkedAt: expect.any(Number),
      erasedAt: undefined,
    });
  });

  test('does not replace a newer one for a session that an erasure has ended', async () => {
    const { clock, pass, store, vendor, renewal } = createReplica();
    vendor.latencyMs = 1_000;
    const running = renewal
      .renew({ ...REQUEST, sessionIssuedAt: clock.now(), satisfies: () => true })
      .catch((error: unknown) => error);
    await pass(10);
    await store.accounts.erase('alice');
    await pass(1_000);
    expect(await running).toMatchObject({ code: 'session_invalid' });
  });
});

describe('the leases of a replica', () => {
  test('are extended as long as one is held, and none after that', async () => {
    const { clock, pass, watched, store } = createReplica();
    const { logger: log } = captureLog('debug');
    const held = new HeldLeases({ terminals: store.terminals, clock, log });
    const leases = [];
    for (const unionId of ['bob', 'carol']) {
      const answer = await store.terminals.acquire(subjectId({ ...SUBJECT, unionId }), LEASE_MS);
      if (answer.kind !== 'granted') throw new Error(answer.kind);
      leases.push(answer.lease);
      held.add(answer.lease);
    }
    const [bob, carol] = leases;
    if (!bob || !carol) throw new Error('no leases');
    held.remove(bob);
    await pass(3 * LEASE_MS);
    expect((await store.terminals.acquire(carol.id, 1)).kind).toBe('held');
    expect((await store.terminals.acquire(bob.id, 1)).kind).toBe('granted');
    held.remove(carol);
    const extensions = watched.calls('extend');
    await pass(3 * LEASE_MS);
    expect(watched.calls('extend')).toBe(extensions);
    held.add(carol);
    await pass(LEASE_MS);
    expect(watched.calls('extend')).toBeGreaterThan(extensions);
    held.remove(carol);
  });
});
