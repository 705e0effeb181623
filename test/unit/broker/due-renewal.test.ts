import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/token/errors.ts';
import type { RefreshPolicy } from '../../../src/token/renewal-timing.ts';
import { PHONE_ID as ID, PHONE, PROACTIVE, tokenOrCode, virtualReplica } from '../../support/broker-parts.ts';
import { deferred } from '../../support/deferred.ts';

const LIFE_MS = 100_000;
/** A token is due after half of its life. */
const POLICY: RefreshPolicy = { ...PROACTIVE, share: { from: 0.5, to: 0.5 } };

/** A replica in virtual time that has read a token, which is due in `LIFE_MS / 2`. */
async function createReplica(policy: Partial<RefreshPolicy> = {}) {
  const replica = virtualReplica({ policy: { ...POLICY, ...policy }, terminalsPerAccount: 1 });
  const { renewal, vendor, memory, pass, answerAfter, stored } = replica;
  vendor.lifeMs = LIFE_MS;
  await answerAfter(0);
  const record = await stored();
  if (!record) throw new Error('no token');
  /** How long the token had been due each time that its renewal began. */
  const latenessMs: number[] = [];
  const startRenewal = () => renewal.renewDue(ID, (ms) => latenessMs.push(ms));
  const renewDue = async () => {
    const renewing = startRenewal();
    await pass(0);
    return renewing;
  };
  const dueInMs = async () => (await memory.dueQueue.claim(0)).nextInMs;
  return { ...replica, record, startRenewal, renewDue, latenessMs, dueInMs };
}

describe('a due token', () => {
  test('is renewed, and the worker is told how late it is', async () => {
    const { pass, vendor, renewDue, latenessMs, told, stored } = await createReplica();
    await pass(LIFE_MS / 2 + 700);
    expect(await renewDue()).toMatchObject({ outcome: 'login', record: { unreadRenewals: 1 } });
    expect(vendor.requests.at(-1)).toMatchObject({ subject: PHONE, region: 'CN', urgency: 'background' });
    expect(latenessMs).toEqual([700]);
    expect(told('renewalEnded').at(-1)).toEqual(['background', 'login']);
    expect((await stored())?.token.fields['accessToken']).toBe('token-2');
  });

  test('is renewed once however often it is claimed, and reads wait for it', async () => {
    const { pass, vendor, startRenewal, watched, answerAfter, told } = await createReplica();
    await pass(0.95 * LIFE_MS);
    vendor.latencyMs = 500;
    const first = startRenewal();
    await pass(100);
    expect(await startRenewal()).toBeUndefined();
    expect(watched.calls('acquire')).toBe(2);
    expect(await answerAfter(500)).toBe('token-2');
    await first;
    expect(vendor.requests).toHaveLength(2);
    expect(told('renewalEnded')).toEqual([
      ['new', 'login'],
      ['background', 'login'],
    ]);
  });

  type Replica = Awaited<ReturnType<typeof createReplica>>;
  /** Adds the token of a newer login, which the store does not have. */
  const newerOf = ({ record, clock, watched }: Replica) => {
    watched.down.add('restore');
    return { ...record, generation: clock.now(), answeredAt: clock.now() };
  };
  test.each<[string, number, (replica: Replica) => unknown, number | undefined]>([
    [
      'its record does not open here: in an hour',
      LIFE_MS / 2,
      ({ memory }) => {
        const acquire = memory.terminals.acquire.bind(memory.terminals);
        memory.terminals.acquire = async (...args) => ({ ...(await acquire(...args)), current: undefined });
      },
      3_600_000,
    ],
    [
      'its time has not come: then',
      LIFE_MS / 2 - 11,
      async ({ memory, clock, holdLease }) => memory.terminals.release(await holdLease(1_000), clock.now()),
      11,
    ],
    [
      'apps no longer read it: at its end',
      LIFE_MS / 2,
      async ({ renewDue, pass }) => [await renewDue(), await pass(LIFE_MS / 2)],
      LIFE_MS / 2,
    ],
    [
      'memory has a newer one: a second later',
      LIFE_MS / 2,
      (replica) => replica.cache.renew(newerOf(replica), ID, Number.NEGATIVE_INFINITY),
      1_000,
    ],
    [
      'the write-back has a newer one: a second later',
      LIFE_MS / 2,
      (replica) => replica.writeBack.add(newerOf(replica)),
      1_000,
    ],
    ['another replica holds its lease: when that ends', LIFE_MS / 2, ({ holdLease }) => holdLease(60_000), 60_000],
    [
      'its account cools down: when that ends',
      LIFE_MS / 2,
      async ({ memory, clock, holdLease }) => {
        const failure = { code: 'vendor_unavailable', waitMs: 3_000 } as const;
        await memory.terminals.release(await holdLease(60_000), clock.now(), failure);
      },
      3_000,
    ],
  ])('is not renewed if %s, it is due again', async (_, passedMs, prepare, expected) => {
    const replica = await createReplica();
    const { pass, vendor, told, latenessMs, renewDue, dueInMs } = replica;
    await pass(passedMs);
    await prepare(replica);
    await pass(0);
    const before = [vendor.requests.length, told('renewalEnded').length, latenessMs.length];
    expect(await renewDue()).toBeUndefined();
    expect([vendor.requests.length, told('renewalEnded').length, latenessMs.length]).toEqual(before);
    expect(told('renewalFailed')).toEqual([]);
    expect(await dueInMs()).toBe(expected);
  });

  test('is not renewed in the mode on-demand: it is due again at its end', async () => {
    const { pass, vendor, renewDue, dueInMs } = await createReplica({ mode: 'on-demand' });
    await pass(0.7 * LIFE_MS);
    expect(await renewDue()).toBeUndefined();
    expect(vendor.requests).toHaveLength(1);
    expect(await dueInMs()).toBe(0.3 * LIFE_MS);
  });

  test('gives way to the token of a login that was sent after its own had ended', async () => {
    const { clock, pass, vendor, memory, record, startRenewal, told } = await createReplica();
    await pass(LIFE_MS / 2);
    vendor.latencyMs = 1_000;
    const renewing = startRenewal();
    await pass(500);
    const generation = clock.now() + 5_000;
    await memory.terminals.restore({ ...record, generation, answeredAt: generation }, generation);
    await pass(500);
    expect(await renewing).toMatchObject({ outcome: 'waited', record: { generation } });
    expect(told('renewalEnded').at(-1)).toEqual(['background', 'waited']);
  });

  test('that a lost one has replaced is left to the write-back of the others for 5 s, and then renewed', async () => {
    const { clock, pass, renewDue, dueInMs, stored, announce, storeReturns } = await createReplica();
    await pass(LIFE_MS / 2);
    announce({ kind: 'saved', id: ID, generation: clock.now() });
    for (const ms of [0, 4_900]) {
      await pass(ms);
      expect(await renewDue()).toBeUndefined();
      expect(await dueInMs()).toBe(1_000);
      if (ms === 0) storeReturns('went_back');
    }
    await pass(1_000);
    expect(await renewDue()).toMatchObject({ outcome: 'login' });
    expect((await stored())?.token.fields['accessToken']).toBe('token-2');
  });

  test('that a lost logout has ended is never renewed', async () => {
    const { clock, pass, vendor, renewDue, announce, storeReturns } = await createReplica();
    await pass(LIFE_MS / 2);
    announce({ kind: 'removed', id: ID, generation: clock.now() });
    storeReturns('went_back');
    await pass(10_000);
    expect(await renewDue()).toBeUndefined();
    expect(vendor.requests).toHaveLength(1);
  });

  test.each([
    ['proactive', [[]]],
    ['on-demand', []],
  ] as const)('that has ended is deleted, and reported in the mode %s: %j', async (mode, reported) => {
    const { pass, vendor, renewDue, dueInMs, told, stored, holdLease } = await createReplica({ mode });
    await pass(LIFE_MS);
    expect(await renewDue()).toBeUndefined();
    expect(vendor.requests).toHaveLength(1);
    expect(told('endedUnrenewed')).toEqual(reported);
    expect([await stored(), await dueInMs()]).toEqual([undefined, undefined]);
    expect(await renewDue()).toBeUndefined();
    expect(told('endedUnrenewed')).toEqual(reported);
    // Its lease is free again.
    await holdLease(60_000);
  });

  test('that has ended is deleted and reported also if its account may have no other terminal', async () => {
    const { pass, answerAfter, renewDue, told, dueInMs, vendor } = await createReplica();
    await pass(LIFE_MS);
    vendor.lifeMs = 10 * LIFE_MS;
    expect(await answerAfter(0, { subject: { ...PHONE, uniqueId: 'tablet' } })).toBe('token-2');
    expect(await renewDue()).toBeUndefined();
    expect(told('endedUnrenewed')).toEqual([[]]);
    expect(await dueInMs()).toBeGreaterThan(LIFE_MS);
  });

  test.each(['found no place in the login queue', 'was ended by a logout'])(
    'fails no read that waits for it: the read logs in by itself, because the renewal %s',
    async (reason) => {
      const { pass, vendor, startRenewal, read, memory } = await createReplica();
      await pass(0.91 * LIFE_MS);
      vendor.latencyMs = 500;
      if (reason.startsWith('found')) vendor.failure = new BrokerError('vendor_busy');
      startRenewal().catch(() => undefined);
      await pass(100);
      vendor.failure = undefined;
      const answer = tokenOrCode(read());
      await pass(100);
      if (reason.startsWith('was')) await memory.terminals.remove(ID);
      await pass(1_000);
      expect(await answer).toBe('token-3');
    },
  );

  test('waits for the store, while a read that joins it logs in without a lease', async () => {
    const { pass, vendor, watched, startRenewal, read } = await createReplica();
    await pass(0.995 * LIFE_MS);
    watched.down.add('read');
    const opened = deferred();
    watched.late.set('acquire', opened.promise);
    const renewing = startRenewal().catch((error: unknown) => error);
    await pass(100);
    const answer = tokenOrCode(read());
    await pass(300);
    expect(await renewing).toMatchObject({ code: 'store_unavailable' } satisfies Partial<BrokerError>);
    await pass(300);
    expect(await answer).toBe('token-2');
    expect(vendor.requests.at(-1)).toMatchObject({ urgency: 'foreground' });
    opened.resolve();
    await pass(0);
  });
});
