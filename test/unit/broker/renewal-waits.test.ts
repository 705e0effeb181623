import { EventEmitter } from 'node:events';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { sleep } from '../../../src/token/clock.ts';
import { BrokerError, LoginNotSent } from '../../../src/token/errors.ts';
import type { Lease, LeaseAnswer, LoginFailure } from '../../../src/token/ports.ts';
import { LEASE_MS } from '../../../src/token/renewal-timing.ts';
import type { Tracer } from '../../../src/token/tracer.ts';
import {
  follow,
  PHONE_ID as ID,
  PHONE,
  recordOfOther,
  renewalRequest,
  virtualReplica,
} from '../../support/broker-parts.ts';
import { deferred } from '../../support/deferred.ts';
import { accessTokenOf } from '../../support/served-token.ts';

/** How often a replica that waits asks for the lease again. */
const POLL_MS = 250;

/** A replica in virtual time whose requests for a lease are noted. */
function createReplica() {
  const spans: string[] = [];
  const span: Tracer['span'] = (name, work) => {
    spans.push(name);
    return work();
  };
  const replica = virtualReplica({ tracer: { span, trace: span }, loginBudgetMs: 5_000 });
  const { clock, memory: inner, renewal } = replica;
  const startedAt = clock.now();
  const askedAt: number[] = [];
  const acquire = inner.terminals.acquire.bind(inner.terminals);
  const extend = inner.terminals.extend.bind(inner.terminals);
  const answers: LeaseAnswer[] = [];
  let held: { readonly lease: Lease; readonly until: number } | undefined;
  const leaseMs = () => Math.min(LEASE_MS, (held?.until ?? 0) - clock.monotonic());
  inner.terminals.acquire = async (id, durationMs) => {
    askedAt.push(clock.now() - startedAt);
    // No lease is longer. Its owner extends it.
    if (held && leaseMs() > 0) await extend([{ ...held.lease, durationMs: leaseMs() }]);
    return answers.shift() ?? acquire(id, durationMs);
  };
  const holdLease = async (durationMs: number): Promise<Lease> => {
    const answer = await acquire(ID, Math.min(LEASE_MS, durationMs));
    if (answer.kind !== 'granted') throw new Error(answer.kind);
    held = { lease: answer.lease, until: clock.monotonic() + durationMs };
    return answer.lease;
  };
  /** Starts a renewal. Its `result` is `waits` at first. */
  const renew = (overrides: Parameters<typeof renewalRequest>[0] = {}) =>
    follow(renewal.renew(renewalRequest(overrides)));
  const save = (lease: Lease) =>
    inner.terminals.save(lease, recordOfOther(lease.generation, { region: 'DE' }), clock.now() + 30_000);
  return { ...replica, inner, spans, askedAt, answers, holdLease, renew, save };
}

describe('a renewal while another replica holds the lease', () => {
  test('asks for the lease again every 250 ms, and reads no token as long as none is announced', async () => {
    const { pass, vendor, watched, askedAt, holdLease, renew } = createReplica();
    await holdLease(60_000);
    const renewal = renew();
    await pass(1_000);
    expect(askedAt).toEqual([0, 250, 500, 750, 1_000]);
    expect(watched.calls('read')).toBe(0);
    expect(renewal.result).toBe('waits');
    expect(vendor.requests).toHaveLength(0);
  });

  test('asks again as soon as the lease ends', async () => {
    const { pass, vendor, askedAt, holdLease, renew } = createReplica();
    await holdLease(60);
    const renewal = renew();
    await pass(100);
    expect(askedAt).toEqual([0, 60]);
    expect(renewal.result).toMatchObject({ outcome: 'login' });
    expect(vendor.requests).toHaveLength(1);
  });

  test('leaves neither a listener nor a timer of its waits behind, however they end', async () => {
    const { clock, pass, holdLease, renew, save } = createReplica();
    const [on, off] = (['on', 'off'] as const).map((method) => vi.spyOn(EventEmitter.prototype, method));
    onTestFinished(() => void vi.restoreAllMocks());
    const callsOf = (spy: typeof on) => spy?.mock.calls.filter(([event]) => String(event) === ID).length;
    let timers = 0;
    const setTimer = clock.setTimer.bind(clock);
    clock.setTimer = (callback, ms) => {
      const timer = setTimer(callback, ms);
      if (ms !== POLL_MS) return timer;
      timers += 1;
      return {
        cancel: () => {
          timers -= 1;
          timer.cancel();
        },
      };
    };
    const lease = await holdLease(60_000);
    const renewal = renew();
    await pass(2 * POLL_MS + 50);
    expect([timers, callsOf(on)]).toEqual([1, 3]);
    await save(lease);
    await pass(0);
    expect(renewal.result).toMatchObject({ outcome: 'waited' });
    expect([timers, callsOf(off)]).toEqual([0, 3]);
  });

  /** A renewal that has waited for 100 ms. */
  async function createWaiting(overrides: Parameters<typeof renewalRequest>[0]) {
    const replica = createReplica();
    const lease = await replica.holdLease(60_000);
    const renewal = replica.renew(overrides);
    await replica.pass(100);
    return { ...replica, lease, renewal };
  }
  type Waiting = Awaited<ReturnType<typeof createWaiting>>;
  const save = ({ save: saveToken, lease }: Waiting) => saveToken(lease);
  const failWith =
    (failure: LoginFailure) =>
    ({ inner, lease }: Waiting) =>
      inner.terminals.release(lease, undefined, failure);
  const REJECTED = { code: 'vendor_rejected', retryAfter: undefined, vendorCode: 10_016 } as const;
  const BUSY = { code: 'vendor_busy', retryAfter: 600, vendorCode: 10_015 } as const;
  const TIMEOUT = { code: 'vendor_timeout', retryAfter: 1, vendorCode: undefined } as const;
  const OF_OTHER = { record: { region: 'DE' }, outcome: 'waited', checkedAt: expect.any(Number) };
  const OWN = { record: { region: 'DE' }, outcome: 'login' };

  test.each<[string, boolean, (waiting: Waiting) => Promise<unknown>, object, number]>([
    ['takes the token that is announced, and does not ask for the lease again', true, save, OF_OTHER, 1],
    ['logs in by itself if the announced token does not satisfy the request', false, save, OWN, 1],
    [
      'logs in by itself if the store fails to read the announced token',
      false,
      async (waiting) => [waiting.watched.down.add('read'), await save(waiting)],
      OWN,
      1,
    ],
    ['fails as the announced login did, with the code of the vendor', true, failWith(REJECTED), REJECTED, 0],
    ['fails as the announced login did, with a time to wait', true, failWith(BUSY), BUSY, 0],
    ['fails as the announced login did, with a short time to wait', true, failWith(TIMEOUT), TIMEOUT, 0],
    [
      'logs in by itself if the announced failure concerned only the other request',
      true,
      failWith({ code: 'session_invalid' }),
      { outcome: 'login' },
      1,
    ],
  ])('%s', async (_, isSatisfied, act, expected, reads) => {
    const waiting = await createWaiting({ satisfies: () => isSatisfied });
    const { pass, renewal, vendor, watched, askedAt } = waiting;
    await act(waiting);
    await pass(20);
    expect(renewal.result).toMatchObject(expected);
    const logins = 'outcome' in expected && expected.outcome === 'login' ? 1 : 0;
    expect(vendor.requests).toHaveLength(logins);
    expect(askedAt).toHaveLength(1 + logins);
    expect(watched.calls('read')).toBe(reads);
  });

  test('ends with vendor_timeout after two login budgets and a lease', async () => {
    const { pass, holdLease, renew } = createReplica();
    await holdLease(600_000);
    const renewal = renew();
    const longestMs = 2 * 5_000 + LEASE_MS;
    await pass(longestMs - 1);
    expect(renewal.result).toBe('waits');
    await pass(1);
    expect(renewal.result).toMatchObject({ code: 'vendor_timeout', retryAfter: 1 });
  });

  test('gives a lease back if the failure of its last holder is announced just after it was granted', async () => {
    const { clock, pass, inner, vendor, store, holdLease, renew, save, answers } = createReplica();
    await save(await holdLease(1_000));
    const lease = await holdLease(60_000);
    const renewal = renew({ satisfies: () => false });
    await pass(100);
    const current = (await store.terminals.read(ID)).record;
    answers.push({ kind: 'granted', lease, current, region: 'DE', sessionsEndedAt: undefined, endedRead: false });
    // The poll at 250 ms gets the lease. The announcement comes 10 ms later.
    await pass(150);
    await pass(10);
    await inner.terminals.release({ ...lease, ownerId: lease.ownerId }, undefined, { code: 'vendor_rejected' });
    await pass(20);
    expect(renewal.result).toMatchObject({ code: 'vendor_rejected' });
    expect(vendor.requests).toHaveLength(0);
    expect((await inner.terminals.acquire(ID, 1)).kind).toBe('granted');
    expect(clock.now()).toBeGreaterThan(0);
  });
});

describe('a renewal', () => {
  test.each(['foreground', 'background'] as const)(
    'that has lost its lease to another replica waits for the token of that replica, and is no logout: %s',
    async (urgency) => {
      const { inner, pass, renew, holdLease, save, vendor } = createReplica();
      // As in a process that is stopped: the heartbeat does not extend the lease.
      inner.terminals.extend = async (leases) => leases;
      vendor.latencyMs = LEASE_MS + 1_000;
      const losing = renew({ cause: urgency === 'background' ? 'background' : 'new', urgency });
      await pass(LEASE_MS);
      const lease = await holdLease(20_000);
      await pass(2_000);
      expect(losing.result).toBe('waits');
      expect((await inner.terminals.read(ID)).record).toBeUndefined();
      // Nobody knows which of the two overlapping logins the vendor received last.
      expect(await save(lease)).toBe('suspect');
      await pass(300);
      expect(losing.result).toMatchObject({ outcome: 'waited', record: { region: 'DE' } });
      expect(vendor.requests).toHaveLength(1);
    },
  );

  test('that has lost its lease logs in again if the next owner gave it back, and ends at the latest like any other', async () => {
    const { inner, pass, renew, holdLease, vendor } = createReplica();
    inner.terminals.extend = async (leases) => leases;
    vendor.latencyMs = LEASE_MS + 1_000;
    const losing = renew();
    await pass(LEASE_MS);
    const lease = await holdLease(20_000);
    await pass(2_000);
    vendor.latencyMs = 100;
    await inner.terminals.release(lease, undefined);
    await pass(500);
    expect(losing.result).toMatchObject({ outcome: 'login', record: { region: 'CN' } });
    expect(vendor.requests).toHaveLength(2);
    vendor.latencyMs = LEASE_MS + 1_000;
    const waiting = renew({ satisfies: () => false });
    await pass(LEASE_MS);
    await holdLease(60_000);
    await pass(2 * 5_000);
    expect(waiting.result).toMatchObject({ code: 'vendor_timeout' });
    expect(vendor.requests).toHaveLength(3);
  });

  test.each<[string, LeaseAnswer, object]>([
    [
      'of a subject that cools down tells the app, in whole seconds, when it may try again',
      { kind: 'cooling', forMs: 1_001, code: 'vendor_unavailable' },
      { code: 'vendor_unavailable', retryAfter: 2 },
    ],
    ['of one terminal too many is refused', { kind: 'terminal_limit', endedRead: false }, { code: 'terminal_limit' }],
  ])('%s', async (_, answer, expected) => {
    const { pass, answers, renew } = createReplica();
    answers.push(answer);
    const renewal = renew();
    await pass(0);
    expect(renewal.result).toMatchObject(expected);
  });

  test('logs in without a lease if the store does not answer within 180 ms, and gives back a late lease', async () => {
    const { pass, inner, vendor, renew, watched } = createReplica();
    const acquire = inner.terminals.acquire;
    const granted = deferred();
    inner.terminals.acquire = async (...args) => {
      await granted.promise;
      return acquire(...args);
    };
    const renewal = renew();
    await pass(179);
    expect(vendor.requests).toHaveLength(0);
    await pass(1);
    // A write without a lease confirms nothing about erasures.
    expect(renewal.result).toMatchObject({ outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY });
    expect((await inner.terminals.read(ID)).record).toMatchObject({ region: 'CN' });
    inner.terminals.acquire = acquire;
    granted.resolve();
    await pass(0);
    expect(watched.calls('release')).toBe(1);
    expect((await inner.terminals.acquire(ID, 1)).kind).toBe('granted');
  });

  test('stores its token without a lease if the store granted one and the answer was lost', async () => {
    const { pass, inner, vendor, renew } = createReplica();
    const acquire = inner.terminals.acquire;
    inner.terminals.acquire = async (...args) => {
      await acquire(...args);
      throw new BrokerError('store_unavailable');
    };
    const renewal = renew();
    await pass(1_000);
    const { record } = await inner.terminals.read(ID);
    expect(renewal.result).toMatchObject({ outcome: 'login', record });
    expect(record).toMatchObject({ subject: PHONE });
    expect(vendor.requests).toHaveLength(1);
  });

  test('gives nothing back if the late answer of the store is no lease', async () => {
    const { pass, inner, watched, renew } = createReplica();
    const late = deferred<LeaseAnswer>();
    inner.terminals.acquire = () => late.promise;
    renew();
    await pass(200);
    late.resolve({ kind: 'held', heldForMs: 1_000 });
    await pass(0);
    expect(watched.calls('release')).toBe(0);
  });

  test('fails with store_unavailable if the store does not answer and the country is unknown', async () => {
    const { pass, inner, renew } = createReplica();
    inner.terminals.acquire = () => new Promise(() => undefined);
    const renewal = renew({ region: undefined });
    await pass(180);
    expect(renewal.result).toMatchObject({ code: 'store_unavailable', retryAfter: 1 });
  });

  test('that another request of this replica waits for serves it only if its token satisfies that request', async () => {
    const { pass, vendor, renew } = createReplica();
    vendor.latencyMs = 1_000;
    const [first, second, third] = [renew(), renew({ satisfies: () => false }), renew()];
    await pass(1_000);
    expect(first.result).toMatchObject({ outcome: 'login' });
    expect(third.result).toMatchObject({ outcome: 'waited' });
    expect(second.result).toBe('waits');
    await pass(1_000);
    expect(second.result).toMatchObject({ outcome: 'login' });
    expect(vendor.requests).toHaveLength(2);
  });

  test('is named in a trace, also in the background, and so are its waits for other logins', async () => {
    const { pass, holdLease, spans, renew, renewal } = createReplica();
    await holdLease(60_000);
    await renewal.renewDue(ID, () => undefined);
    renew();
    renew();
    await pass(100);
    expect(spans).toEqual(['renewal', 'renewal', 'renewal', 'lease wait', 'lease wait']);
  });

  test('that fails with the vendor’s error fails all requests that wait for it, and each later one logs in', async () => {
    const { pass, vendor, told, renew } = createReplica();
    vendor.latencyMs = 1_000;
    vendor.failure = new BrokerError('vendor_rejected');
    const renewals = [renew(), renew()];
    await pass(1_000);
    expect(renewals.map(({ result }) => result)).toMatchObject([
      { code: 'vendor_rejected' },
      { code: 'vendor_rejected' },
    ]);
    expect(told('renewalFailed')).toHaveLength(1);
    vendor.failure = undefined;
    const next = renew();
    await pass(1_000);
    expect(next.result).toMatchObject({ outcome: 'login' });
  });
});

describe('a renewal that waits for the lease', () => {
  /** The store grants leases after `acquireMs`. */
  async function createWaiter({ acquireMs = 0 } = {}) {
    const replica = createReplica();
    const { clock, inner, holdLease } = replica;
    const lease = await holdLease(60_000);
    const { acquire } = inner.terminals;
    inner.terminals.acquire = async (...args) => {
      await sleep(clock, acquireMs);
      return acquire(...args);
    };
    return { ...replica, lease };
  }

  test('gives the store the same time to answer in each turn, so a slow store causes no login beside the lease', async () => {
    const { pass, vendor, inner, lease, renew } = await createWaiter({ acquireMs: 100 });
    const renewal = renew();
    await pass(5_000);
    expect(renewal.result).toBe('waits');
    expect(vendor.requests).toHaveLength(0);
    await inner.terminals.release(lease, undefined);
    await pass(500);
    expect(renewal.result).toMatchObject({ outcome: 'login' });
    expect(vendor.requests).toHaveLength(1);
  });

  test.each([
    ['goes on after an older logout that is announced again', -1, 'waits'],
    ['fails with a logout that may have come after it began', 0, { code: 'session_forbidden' }],
  ] as const)('%s', async (_, laterMs, expected) => {
    const { clock, pass, renew, announce } = await createWaiter();
    const generation = clock.now() + laterMs;
    const renewal = renew();
    await pass(100);
    announce({ kind: 'removed', id: ID, generation });
    await pass(100);
    expect({ result: renewal.result }).toMatchObject({ result: expected });
  });

  test('does not fail with an announcement from before its next lease, if its own lease has expired', async () => {
    const { pass, vendor, inner, lease, renew, announce } = await createWaiter();
    const renewal = renew();
    await pass(100);
    // The other replica gives the lease back. The announcement of its failure arrives late.
    await inner.terminals.release(lease, undefined);
    vendor.latencyMs = 100;
    vendor.failure = new LoginNotSent();
    await pass(200);
    expect(vendor.requests).toHaveLength(1);
    announce({ kind: 'failed', id: ID, generation: lease.generation, code: 'vendor_rejected' });
    vendor.failure = undefined;
    await pass(300);
    expect(renewal.result).toMatchObject({ outcome: 'login' });
    expect(vendor.requests).toHaveLength(2);
  });
});

describe('the lease of a failed login', () => {
  /** What the next request for the lease gets at the moment of the failure, if a release takes `releaseMs`. */
  async function atFailure(releaseMs: number, start: (replica: ReturnType<typeof createReplica>) => Promise<unknown>) {
    const replica = createReplica();
    const { clock, pass, vendor, inner } = replica;
    vendor.failure = new BrokerError('vendor_rejected');
    const release = inner.terminals.release.bind(inner.terminals);
    inner.terminals.release = async (...args) => {
      await sleep(clock, releaseMs);
      await release(...args);
    };
    const startedAt = clock.monotonic();
    const next = start(replica).catch(async ({ code }: BrokerError) => {
      const { kind } = await inner.terminals.acquire(ID, 1_000);
      return { code, kind, afterMs: clock.monotonic() - startedAt };
    });
    await pass(2_000);
    return next;
  }

  test.each([
    ['before an app gets the failure, which may try again at once', 50, 'granted', 50],
    ['later, if the store takes longer than an app waits for it in all', 1_000, 'held', 180],
  ] as const)('is released %s', async (_, releaseMs, kind, afterMs) => {
    const failed = await atFailure(releaseMs, ({ read }) => read());
    expect(failed).toEqual({ code: 'vendor_rejected', kind, afterMs });
  });

  test('is released before an operator gets the failure of a login for an accessId', async () => {
    const failed = await atFailure(50, ({ accessIds }) => accessIds.obtain(PHONE, 'CN'));
    expect(failed).toEqual({ code: 'vendor_rejected', kind: 'granted', afterMs: 50 });
  });
});

describe('a login whose lease was lost', () => {
  /** The answer to a report of the token in memory. The store answers the write of the replacement with the loss. */
  async function reportWithLostLease(onLoss: (replica: ReturnType<typeof createReplica>) => void) {
    const replica = createReplica();
    const { inner, cache, answerAfter } = replica;
    expect(await answerAfter(1_000)).toBe('token-1');
    const { terminals } = inner;
    const save = terminals.save.bind(terminals);
    terminals.save = async (lease) => {
      terminals.save = save;
      await terminals.release(lease, undefined);
      onLoss(replica);
      return 'lease_lost';
    };
    const answer = await answerAfter(1_000, { refused: cache.tokens.find(ID)?.etag });
    const known = cache.tokens.find(ID);
    return [answer, known && accessTokenOf(known)];
  }

  test.each<[string, Parameters<typeof reportWithLostLease>[0], [string, string]]>([
    ['is followed by another login', () => undefined, ['token-3', 'token-3']],
    [
      'leaves no token in memory when the next login fails',
      ({ vendor }) => void Object.assign(vendor, { failure: new BrokerError('vendor_rejected') }),
      ['vendor_rejected', 'token-1'],
    ],
    [
      'is followed by another one, although the store can read no token',
      ({ watched }) => void watched.down.add('read'),
      ['token-3', 'token-3'],
    ],
  ])('gives its token to no app, and %s', async (_, onLoss, expected) => {
    expect(await reportWithLostLease(onLoss)).toEqual(expected);
  });
});
