import { describe, expect, test } from 'vitest';
import type { RenewalRequest } from '../../../src/broker/requests.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Lease, LeaseAnswer } from '../../../src/token/ports.ts';
import { LEASE_MS } from '../../../src/token/renewal-timing.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import type { Tracer } from '../../../src/token/tracer.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
const ID = subjectId(SUBJECT);

/** A replica in virtual time, and a lease that another replica holds. */
function createReplica() {
  const { clock, pass } = virtualClock();
  const inner = createMemoryStore({ clock, terminalsPerAccount: 20 });
  const watched = watchedStore(inner);
  const { store } = watched;
  const { observer, told } = recordingObserver();
  const spans: string[] = [];
  const span: Tracer['span'] = (name, work) => {
    spans.push(name);
    return work();
  };
  const tracer: Tracer = { span, trace: span };
  const parts = brokerParts({ clock, store, observer, tracer, loginBudgetMs: 5_000 });
  const startedAt = clock.now();
  const askedAt: number[] = [];
  const acquire = inner.terminals.acquire.bind(inner.terminals);
  const answers: LeaseAnswer[] = [];
  inner.terminals.acquire = async (id, durationMs) => {
    askedAt.push(clock.now() - startedAt);
    return answers.shift() ?? acquire(id, durationMs);
  };
  const holdLease = async (durationMs: number): Promise<Lease> => {
    const answer = await acquire(ID, durationMs);
    if (answer.kind !== 'granted') throw new Error(answer.kind);
    return answer.lease;
  };
  /** Starts a renewal. Returns its result, or `waits`. */
  const renew = (overrides: Partial<RenewalRequest> = {}) => {
    const request = { id: ID, subject: SUBJECT, region: 'CN', known: undefined, sessionIssuedAt: undefined };
    const state: { result: unknown } = { result: 'waits' };
    parts.renewal.renew({ ...request, cause: 'new', urgency: 'foreground', satisfies: () => true, ...overrides }).then(
      (renewed) => {
        state.result = renewed;
      },
      (error: unknown) => {
        state.result = error;
      },
    );
    return state;
  };
  const save = (lease: Lease) => {
    const token = { fields: { accessToken: 'other' }, issuedAt: clock.now(), expiresAt: clock.now() + 60_000 };
    const record = {
      subject: SUBJECT,
      region: 'DE',
      token,
      generation: lease.generation,
      answeredAt: lease.generation,
      read: true,
      unreadRenewals: 0,
      suspect: false,
    };
    return inner.terminals.save(lease, record, clock.now() + 30_000);
  };
  return { ...parts, inner, clock, pass, watched, told, spans, askedAt, answers, holdLease, renew, save };
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

  test('takes the token that is announced, and does not ask for the lease again', async () => {
    const { pass, vendor, watched, askedAt, holdLease, renew, save } = createReplica();
    const lease = await holdLease(60_000);
    const renewal = renew();
    await pass(100);
    await save(lease);
    await pass(0);
    expect(renewal.result).toMatchObject({
      record: { region: 'DE' },
      outcome: 'waited',
      checkedAt: expect.any(Number),
    });
    expect(askedAt).toEqual([0]);
    expect(watched.calls('read')).toBe(1);
    expect(vendor.requests).toHaveLength(0);
  });

  test('logs in by itself if the announced token does not satisfy the request', async () => {
    const { pass, vendor, holdLease, renew, save } = createReplica();
    const lease = await holdLease(60_000);
    const renewal = renew({ satisfies: () => false });
    await pass(100);
    await save(lease);
    await pass(20);
    expect(renewal.result).toMatchObject({ record: { region: 'DE' }, outcome: 'login' });
    expect(vendor.requests).toHaveLength(1);
  });

  test('logs in by itself if the store fails to read the announced token', async () => {
    const { pass, watched, holdLease, renew, save } = createReplica();
    const lease = await holdLease(60_000);
    const renewal = renew({ satisfies: () => false });
    await pass(100);
    watched.down.add('read');
    await save(lease);
    await pass(20);
    expect(renewal.result).toMatchObject({ outcome: 'login' });
  });

  test.each([
    { code: 'vendor_rejected', retryAfter: undefined, vendorCode: 10_016 },
    { code: 'vendor_busy', retryAfter: 600, vendorCode: 10_015 },
    { code: 'vendor_timeout', retryAfter: 1, vendorCode: undefined },
  ] as const)('fails as the announced login did: $code, $retryAfter s, $vendorCode', async (failure) => {
    const { pass, inner, vendor, holdLease, renew } = createReplica();
    const lease = await holdLease(60_000);
    const renewal = renew();
    await pass(100);
    await inner.terminals.release(lease, undefined, failure);
    await pass(0);
    expect(renewal.result).toMatchObject(failure);
    expect(vendor.requests).toHaveLength(0);
  });

  test('logs in by itself if the announced failure concerned only the other request', async () => {
    const { pass, inner, vendor, holdLease, renew } = createReplica();
    const lease = await holdLease(60_000);
    const renewal = renew();
    await pass(100);
    await inner.terminals.release(lease, undefined, { code: 'session_invalid' });
    await pass(20);
    expect(renewal.result).toMatchObject({ outcome: 'login' });
    expect(vendor.requests).toHaveLength(1);
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
    answers.push({ kind: 'granted', lease, current, region: 'DE', erasedAt: undefined, endedRead: false });
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

  test('of a subject that cools down tells the app, in whole seconds, when it may try again', async () => {
    const { pass, answers, told, renew } = createReplica();
    answers.push({ kind: 'cooling', forMs: 1_001, code: 'vendor_unavailable' });
    const renewal = renew();
    await pass(0);
    expect(renewal.result).toMatchObject({ code: 'vendor_unavailable', retryAfter: 2 });
    expect(told('coolingDown')).toEqual([['vendor_unavailable']]);
  });

  test('of one terminal too many is refused', async () => {
    const { pass, answers, renew } = createReplica();
    answers.push({ kind: 'terminal_limit', endedRead: false });
    const renewal = renew();
    await pass(0);
    expect(renewal.result).toMatchObject({ code: 'terminal_limit' });
  });

  test('logs in without a lease if the store does not answer within 180 ms, and gives back a late lease', async () => {
    const { pass, inner, vendor, renew, watched } = createReplica();
    const acquire = inner.terminals.acquire;
    let grant = (): void => undefined;
    inner.terminals.acquire = (...args) =>
      new Promise((resolve) => {
        grant = () => resolve(acquire(...args));
      });
    const renewal = renew();
    await pass(179);
    expect(vendor.requests).toHaveLength(0);
    await pass(1);
    // A write without a lease confirms nothing about erasures.
    expect(renewal.result).toMatchObject({ outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY });
    expect((await inner.terminals.read(ID)).record).toMatchObject({ region: 'CN' });
    inner.terminals.acquire = acquire;
    grant();
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
    expect(record).toMatchObject({ subject: SUBJECT });
    expect(vendor.requests).toHaveLength(1);
  });

  test('gives nothing back if the late answer of the store is no lease', async () => {
    const { pass, inner, watched, renew } = createReplica();
    let answer = (_answer: LeaseAnswer): void => undefined;
    inner.terminals.acquire = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    renew();
    await pass(200);
    answer({ kind: 'held', heldForMs: 1_000 });
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

  test('that fails with the vendor’s error after a logout fails a request from after the logout too', async () => {
    const { pass, inner, vendor, renew } = createReplica();
    vendor.latencyMs = 1_000;
    vendor.failure = new BrokerError('vendor_rejected');
    const renewals = [renew()];
    await pass(500);
    await inner.terminals.remove(ID);
    renewals.push(renew());
    await pass(2_000);
    expect(renewals.map(({ result }) => result)).toEqual([vendor.failure, vendor.failure]);
    expect(vendor.requests).toHaveLength(1);
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
