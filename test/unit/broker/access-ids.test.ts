import { describe, expect, test } from 'vitest';
import { accessIdTerminal } from '../../../src/broker/access-ids.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { LEASE_MS } from '../../../src/token/renewal-timing.ts';
import { type Subject, subjectId, UNIQUE_ID_PATTERN } from '../../../src/token/subject.ts';
import { brokerParts } from '../../support/broker-parts.ts';
import { claimLeases, takeLease } from '../../support/due-claims.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const SUBJECT: Subject = { app: 'default', unionId: 'bob', uniqueId: accessIdTerminal('bob') };
const ID = subjectId(SUBJECT);
/** With policy `single` the account has one terminal, which is that of its phone. */
const ONLY: Subject = { ...SUBJECT, uniqueId: 'bob' };
const OBTAINED = { accessId: 'id-of-bob', region: 'DE' };

/** Replicas that share one store and one vendor. Each has its own broker. */
function createReplicas(count: number, perHour = 0) {
  const { clock, pass } = virtualClock();
  const watched = watchedStore(createMemoryStore({ clock, terminalsPerAccount: 1 }));
  const vendor = new ScriptedLogin(clock);
  vendor.latencyMs = 1_000;
  const replicas = Array.from({ length: count }, () => brokerParts({ clock, store: watched.store, vendor, perHour }));
  const obtain = (replica: number, region: string | undefined = 'DE', subject = SUBJECT) => {
    const parts = replicas[replica % count];
    if (!parts) throw new RangeError('no replica');
    return parts.accessIds.obtain(subject, region);
  };
  const [first = brokerParts()] = replicas;
  return { ...watched, clock, pass, vendor, first, obtain };
}

const codeOf = (error: unknown) => (error instanceof BrokerError ? error.code : error);

describe('the accessId of an account that has never logged in', () => {
  test('comes from no login whose lease may have expired when its turn comes: it asks for the lease again', async () => {
    const { pass, vendor, obtain, down } = createReplicas(1);
    down.add('extend');
    vendor.queueMs = LEASE_MS;
    const obtained = obtain(0);
    await pass(LEASE_MS);
    expect([vendor.requests.length, vendor.sent]).toEqual([2, 0]);
    down.clear();
    await pass(2 * LEASE_MS);
    expect(await obtained).toEqual(OBTAINED);
    expect(vendor.sent).toBe(1);
  });

  test('takes no terminal place, stores no token, and nothing becomes due', async () => {
    const { clock, pass, first, vendor, obtain, store, calls } = createReplicas(1);
    const obtained = obtain(0);
    await pass(2_000);
    expect(await obtained).toMatchObject(OBTAINED);
    expect(vendor.requests).toMatchObject([{ subject: SUBJECT, region: 'DE', urgency: 'foreground' }]);
    expect((await store.accounts.find('bob')).records).toEqual([]);
    expect(first.cache.tokens.size).toBe(0);
    expect(calls('save')).toBe(0);
    await pass(2 * vendor.lifeMs);
    const due = await claimLeases(store, 10, LEASE_MS);
    expect(due).toMatchObject({ claims: [], nextInMs: undefined, backlog: 0 });
    const phone = { app: 'default', unionId: 'bob', uniqueId: 'phone' };
    const read = first.broker.read({ subject: phone, region: undefined, sessionIssuedAt: clock.now() });
    await pass(2_000);
    await read;
    expect((await store.accounts.find('bob')).records).toMatchObject([{ region: 'DE' }]);
  });

  test('is that of a login of the same terminal that ended in the meantime', async () => {
    const { clock, pass, first, vendor, obtain } = createReplicas(2);
    const read = first.broker.read({ subject: ONLY, region: 'CN', sessionIssuedAt: clock.now() });
    await pass(500);
    const obtained = obtain(1, 'DE', ONLY);
    await pass(5_000);
    await read;
    expect(await obtained).toEqual({ accessId: 'id-of-bob', region: 'CN' });
    expect(vendor.requests).toHaveLength(1);
  });

  test('is obtained although the same terminal logs out during the login', async () => {
    const { clock, pass, first, store, obtain } = createReplicas(1);
    const obtained = obtain(0, 'DE', ONLY);
    await pass(500);
    await first.accounts.logOut(ONLY, { sessionIssuedAt: clock.now() });
    await pass(2_000);
    expect(await obtained).toMatchObject(OBTAINED);
    expect(await store.accounts.lookUp(['id-of-bob'])).toEqual(new Map([['id-of-bob', 'bob']]));
  });

  test('lets a phone with the same terminal wait, and then log in for a token of its own', async () => {
    const { clock, pass, first, vendor, obtain } = createReplicas(1);
    const obtained = obtain(0, 'DE', ONLY);
    await pass(500);
    const read = first.broker.read({ subject: ONLY, region: 'CN', sessionIssuedAt: clock.now() });
    await pass(5_000);
    expect(await obtained).toMatchObject(OBTAINED);
    expect(accessTokenOf(await read)).toBe('token-2');
    expect(vendor.mostConcurrent).toBe(1);
  });
});

describe('a failed login for an accessId', () => {
  test('fails for every caller on two replicas, and releases the lease', async () => {
    const { pass, vendor, obtain } = createReplicas(2);
    vendor.failure = new BrokerError('vendor_rejected');
    const all = Promise.allSettled(Array.from({ length: 20 }, (_, number) => obtain(number)));
    await pass(5_000);
    for (const one of await all) expect(one).toMatchObject({ reason: { code: 'vendor_rejected' } });
    expect(vendor.requests).toHaveLength(1);
    vendor.failure = undefined;
    const again = obtain(1);
    await pass(2_000);
    expect(await again).toMatchObject(OBTAINED);
  });

  test('with an announced failure that another country would avoid is tried again', async () => {
    const { pass, store, obtain, vendor } = createReplicas(1);
    const lease = await takeLease(store, ID);
    const obtained = obtain(0);
    await pass(10);
    await store.terminals.release(lease, undefined, { code: 'request_invalid' });
    await pass(2_000);
    expect(await obtained).toMatchObject(OBTAINED);
    expect(vendor.requests).toHaveLength(1);
  });

  test('counts against the login limit of the account, but not if it was not sent', async () => {
    const { pass, vendor, obtain } = createReplicas(1, 1);
    vendor.latencyMs = 0;
    const attempt = async (code?: 'vendor_busy' | 'vendor_rejected' | 'vendor_unavailable', isUnsent?: boolean) => {
      vendor.failure = code && new BrokerError(code, { ...(isUnsent && { isUnsent }) });
      const outcome = obtain(0).then(() => 'obtained', codeOf);
      await pass(10);
      return outcome;
    };
    expect(await attempt('vendor_busy')).toBe('vendor_busy');
    expect(await attempt('vendor_unavailable', true)).toBe('vendor_unavailable');
    expect(await attempt('vendor_rejected')).toBe('vendor_rejected');
    expect(await attempt()).toBe('rate_limited');
    expect(vendor.requests).toHaveLength(3);
  });
});

test('no login starts without a country, or while the store is down', async () => {
  const { pass, vendor, obtain, down } = createReplicas(1);
  await expect(obtain(0, '')).rejects.toMatchObject({
    code: 'request_invalid',
    detail: expect.stringContaining('regRegion'),
  });
  down.add('acquire');
  await expect(obtain(0)).rejects.toMatchObject({ code: 'store_unavailable' });
  await pass(5_000);
  expect(vendor.requests).toEqual([]);
});

test('a request without a country joins one that has a country, and one with a country does not fail with one that has none', async () => {
  const { pass, vendor, obtain, store } = createReplicas(1);
  const lease = await takeLease(store, ID);
  const without = obtain(0, '').catch(codeOf);
  const withCountry = obtain(0, 'DE');
  await store.terminals.release(lease, undefined);
  await pass(3_000);
  expect(await without).toBe('request_invalid');
  expect(await withCountry).toMatchObject(OBTAINED);
  expect(vendor.requests).toHaveLength(1);
});

test.each(['phone', 'accessId'])(
  'a request from before the erasure does not make one from after it fail: %s of the same terminal',
  async (kind) => {
    const { clock, pass, first, vendor, obtain, store } = createReplicas(2);
    const lease = await takeLease(store, subjectId(ONLY));
    const before = obtain(1, 'DE', ONLY).catch(codeOf);
    await pass(10);
    await first.accounts.erase('bob');
    await pass(10);
    const read = async () => {
      await first.broker.read({ subject: ONLY, region: 'CN', sessionIssuedAt: clock.now() });
      return (await store.terminals.read(subjectId(ONLY))).record;
    };
    const after = (kind === 'phone' ? read() : obtain(0, 'CN', ONLY)).catch(codeOf);
    await pass(10);
    // There is no announcement of the end of the login, so the request from before the erasure asks for the lease
    // first.
    await store.terminals.release(lease, undefined);
    await pass(5_000);
    expect(await before).toBe('not_found');
    expect(await after).toMatchObject({ region: 'CN' });
    expect(vendor.requests).toHaveLength(1);
  },
);

describe('at shutdown', () => {
  test('the lease of a login that takes too long is released, also after an erasure', async () => {
    const { pass, first, vendor, obtain, store } = createReplicas(1);
    vendor.latencyMs = 60_000;
    const obtained = obtain(0).catch(codeOf);
    await pass(10);
    await first.accounts.erase('bob');
    const settled = first.accessIds.settle(1_000);
    await pass(1_000);
    await settled;
    expect((await store.terminals.acquire(ID, LEASE_MS)).kind).toBe('granted');
    await pass(60_000);
    expect(await obtained).toBe('not_found');
  });
});

test('an account that is erased during the login stays erased, and the callers on all replicas get not_found', async () => {
  const { pass, first, vendor, obtain, store } = createReplicas(2);
  const obtained = Promise.allSettled([obtain(0), obtain(1), obtain(0)]);
  await pass(500);
  await first.accounts.erase('bob');
  await pass(5_000);
  const reason = { code: 'not_found', detail: expect.stringContaining('was erased') };
  for (const one of await obtained) expect(one).toMatchObject({ status: 'rejected', reason });
  expect(await store.accounts.find('bob')).toMatchObject({ identity: undefined, records: [] });
  expect(vendor.requests).toHaveLength(1);
});

test('an older erasure of which the replica hears meanwhile is no erasure during the login', async () => {
  const { clock, pass, first, obtain } = createReplicas(1);
  await pass(60_000);
  const obtained = obtain(0);
  first.cache.learnEnds(ID, { record: undefined, erasedAt: clock.now() - 2_000 });
  await pass(5_000);
  expect(await obtained).toEqual(OBTAINED);
});

test('a caller is not told an accessId that cannot be looked up, and the next request needs no login', async () => {
  const { pass, store, obtain, down, vendor } = createReplicas(1);
  const obtained = obtain(0).catch(codeOf);
  await pass(500);
  down.add('identify');
  await pass(2_000);
  expect(await obtained).toBe('store_unavailable');
  await expect(store.accounts.identify('bob')).rejects.toMatchObject({ code: 'store_unavailable' });
  down.delete('identify');
  expect(await store.accounts.identify('bob')).toEqual(OBTAINED);
  expect(vendor.requests).toHaveLength(1);
});

test('a caller is not told an accessId that the store did not accept', async () => {
  const { pass, obtain, down } = createReplicas(1);
  down.add('saveAccessId');
  const obtained = obtain(0).catch(codeOf);
  await pass(2_000);
  expect(await obtained).toBe('store_unavailable');
});

test('the terminal is valid for the vendor, and different for each account', () => {
  const terminals = ['bob', 'alice', '用户'.repeat(64)].map(accessIdTerminal);
  for (const uniqueId of terminals) expect(uniqueId).toMatch(UNIQUE_ID_PATTERN);
  expect(new Set(terminals).size).toBe(3);
});
