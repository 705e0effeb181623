import { describe, expect, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Announcement, AnnouncementFeed, Lease, StoreHistory } from '../../../src/token/ports.ts';
import type { RefreshPolicy } from '../../../src/token/renewal-timing.ts';
import { brokerParts, PHONE_ID as ID, PHONE, PROACTIVE } from '../../support/broker-parts.ts';
import { watchedStore } from '../../support/failing-store.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { accessTokenOf } from '../../support/served-token.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 100_000;
/** A token is due after half of its life. */
const POLICY: RefreshPolicy = { ...PROACTIVE, share: { from: 0.5, to: 0.5 } };

/** A replica in virtual time that has read a token, which is due in `LIFE_MS / 2`. */
async function createReplica(policy: Partial<RefreshPolicy> = {}) {
  const { clock, pass } = virtualClock();
  const inner = createMemoryStore({ clock, terminalsPerAccount: 1 });
  const listeners: ((history: StoreHistory) => void)[] = [];
  const health = { ...inner.health, onReturn: (one: (history: StoreHistory) => void) => void listeners.push(one) };
  const hearers: ((announcement: Announcement) => void)[] = [];
  const announcements: AnnouncementFeed = {
    subscribe: (hear) => {
      hearers.push(hear);
      inner.announcements.subscribe(hear);
    },
    completeSince: () => inner.announcements.completeSince(),
  };
  const announce = (announcement: Announcement) => {
    for (const hear of hearers) hear(announcement);
  };
  const watched = watchedStore({ ...inner, health, announcements });
  const loseData = () => {
    for (const listener of listeners) listener('went_back');
  };
  const { observer, told } = recordingObserver();
  const parts = brokerParts({ clock, store: watched.store, observer, policy: { ...POLICY, ...policy } });
  const { renewal, broker, vendor } = parts;
  vendor.lifeMs = LIFE_MS;
  const read = async (subject = PHONE) => {
    const reading = broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now() });
    reading.catch(() => undefined);
    await pass(vendor.latencyMs);
    return reading;
  };
  /** How long the token had been due each time that its renewal began. */
  const latenessMs: number[] = [];
  const renewDue = async () => {
    const renewing = renewal.renewDue(ID, (ms) => latenessMs.push(ms));
    renewing.catch(() => undefined);
    await pass(vendor.latencyMs);
    return renewing;
  };
  const holdLease = async (): Promise<Lease> => {
    const answer = await inner.terminals.acquire(ID, 60_000);
    if (answer.kind !== 'granted') throw new Error(answer.kind);
    return answer.lease;
  };
  const dueInMs = async () => (await inner.dueQueue.claim(0)).nextInMs;
  const stored = async () => (await inner.terminals.read(ID)).record;
  await read();
  return {
    ...parts,
    clock,
    pass,
    inner,
    watched,
    told,
    read,
    renewDue,
    latenessMs,
    holdLease,
    dueInMs,
    stored,
    announce,
    loseData,
  };
}

describe('a due token', () => {
  test('is renewed, and the worker is told how late it is', async () => {
    const { pass, vendor, renewDue, latenessMs, told, stored } = await createReplica();
    await pass(LIFE_MS / 2 + 700);
    expect(await renewDue()).toMatchObject({ outcome: 'login', record: { unreadRenewals: 1 } });
    expect(vendor.requests.at(-1)).toMatchObject({ subject: PHONE, region: 'CN', urgency: 'background' });
    expect(latenessMs).toEqual([700 + vendor.latencyMs]);
    expect(told('renewalEnded').at(-1)).toEqual(['background', 'login']);
    expect((await stored())?.token.fields['accessToken']).toBe('token-2');
  });

  test('is renewed once however often it is claimed, and reads wait for it', async () => {
    const { pass, vendor, renewal, watched, read, told } = await createReplica();
    await pass(0.95 * LIFE_MS);
    vendor.latencyMs = 500;
    const first = renewal.renewDue(ID, () => undefined);
    await pass(100);
    expect(await renewal.renewDue(ID, () => undefined)).toBeUndefined();
    expect(watched.calls('acquire')).toBe(2);
    const answer = await read();
    expect(accessTokenOf(answer)).toBe('token-2');
    await first;
    expect(vendor.requests).toHaveLength(2);
    expect(told('renewalEnded')).toEqual([
      ['new', 'login'],
      ['background', 'login'],
    ]);
  });

  test('is not renewed if its record does not open here: it is due again in an hour', async () => {
    const { pass, vendor, inner, renewDue, dueInMs } = await createReplica();
    await pass(LIFE_MS / 2);
    const acquire = inner.terminals.acquire.bind(inner.terminals);
    inner.terminals.acquire = async (...args) => {
      const answer = await acquire(...args);
      return answer.kind === 'granted' ? { ...answer, current: undefined } : answer;
    };
    expect(await renewDue()).toBeUndefined();
    expect(await dueInMs()).toBe(3_600_000);
    expect(vendor.requests).toHaveLength(1);
  });

  test('gives way to the token of a login that was sent after its own had ended', async () => {
    const { clock, pass, vendor, inner, renewal, stored, told } = await createReplica();
    await pass(LIFE_MS / 2);
    const record = await stored();
    if (!record) throw new Error('no token');
    vendor.latencyMs = 1_000;
    const renewing = renewal.renewDue(ID, () => undefined);
    await pass(500);
    const generation = clock.now() + 5_000;
    await inner.terminals.restore({ ...record, generation, answeredAt: generation }, generation);
    await pass(500);
    expect(await renewing).toMatchObject({ outcome: 'waited', record: { generation } });
    expect(told('renewalEnded').at(-1)).toEqual(['background', 'waited']);
  });

  test('is not renewed before its time: it is due again then, and no renewal is counted', async () => {
    const { pass, vendor, renewDue, latenessMs, dueInMs, told, clock, inner, holdLease } = await createReplica();
    await pass(LIFE_MS / 2 - vendor.latencyMs - 11);
    await inner.terminals.release(await holdLease(), clock.now());
    expect(await renewDue()).toBeUndefined();
    expect(await dueInMs()).toBe(11 - vendor.latencyMs);
    expect(vendor.requests).toHaveLength(1);
    expect(latenessMs).toEqual([]);
    expect(told('renewalEnded')).toHaveLength(1);
  });

  test.each([
    ['that apps no longer read', {}],
    ['in the mode on-demand', { mode: 'on-demand' }],
  ] as const)('%s is not renewed: it is looked at again at its end', async (name, policy) => {
    const { clock, pass, vendor, renewDue, dueInMs, stored } = await createReplica(policy);
    if (name === 'that apps no longer read') {
      await pass(LIFE_MS / 2);
      await renewDue();
      await pass(LIFE_MS / 2);
    } else {
      await pass(0.7 * LIFE_MS);
    }
    const logins = vendor.requests.length;
    expect(await renewDue()).toBeUndefined();
    expect(vendor.requests).toHaveLength(logins);
    expect(await dueInMs()).toBe(((await stored())?.token.expiresAt ?? 0) - clock.now());
  });

  test.each(['memory', 'the write-back'])(
    'is not renewed while %s has a newer one: it is due again a second later',
    async (holder) => {
      const { clock, pass, vendor, cache, writeBack, watched, renewDue, dueInMs, stored } = await createReplica();
      const record = await stored();
      if (!record) throw new Error('no token');
      await pass(LIFE_MS / 2);
      const newer = { ...record, generation: clock.now(), answeredAt: clock.now() };
      watched.down.add('restore');
      if (holder === 'memory') cache.renew(newer, ID, Number.NEGATIVE_INFINITY, undefined);
      else writeBack.add(newer);
      await pass(0);
      expect(await renewDue()).toBeUndefined();
      expect(await dueInMs()).toBe(1_000 - vendor.latencyMs);
      expect(vendor.requests).toHaveLength(1);
    },
  );

  test('that a lost one has replaced is left to the write-back of the others for 5 s, and then renewed', async () => {
    const { clock, pass, vendor, renewDue, dueInMs, stored, announce, loseData } = await createReplica();
    await pass(LIFE_MS / 2);
    announce({ kind: 'saved', id: ID, generation: clock.now() });
    for (const ms of [0, 4_900]) {
      await pass(ms);
      expect(await renewDue()).toBeUndefined();
      expect(await dueInMs()).toBe(1_000 - vendor.latencyMs);
      if (ms === 0) loseData();
    }
    await pass(1_000);
    expect(await renewDue()).toMatchObject({ outcome: 'login' });
    expect((await stored())?.token.fields['accessToken']).toBe('token-2');
  });

  test('that a lost logout has ended is never renewed', async () => {
    const { clock, pass, vendor, renewDue, announce, loseData } = await createReplica();
    await pass(LIFE_MS / 2);
    announce({ kind: 'removed', id: ID, generation: clock.now() });
    loseData();
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
    await holdLease();
  });

  test('that has ended is deleted and reported also if its account may have no other terminal', async () => {
    const { pass, read, renewDue, told, dueInMs, vendor } = await createReplica();
    await pass(LIFE_MS);
    vendor.lifeMs = 10 * LIFE_MS;
    await read({ ...PHONE, uniqueId: 'tablet' });
    expect(await renewDue()).toBeUndefined();
    expect(told('endedUnrenewed')).toEqual([[]]);
    expect(await dueInMs()).toBeGreaterThan(LIFE_MS);
  });

  test('is left to the replica that holds its lease', async () => {
    const { pass, vendor, renewDue, holdLease, told } = await createReplica();
    await pass(LIFE_MS / 2);
    await holdLease();
    expect(await renewDue()).toBeUndefined();
    expect(vendor.requests).toHaveLength(1);
    expect(told('renewalFailed')).toEqual([]);
  });

  test('is due again when the cool-down of its account ends', async () => {
    const { pass, clock, vendor, renewDue, holdLease, inner, dueInMs, told } = await createReplica();
    await pass(LIFE_MS / 2);
    await inner.terminals.release(await holdLease(), clock.now(), { code: 'vendor_unavailable', waitMs: 3_000 });
    expect(await renewDue()).toBeUndefined();
    expect(await dueInMs()).toBe(3_000 - vendor.latencyMs);
    expect(vendor.requests).toHaveLength(1);
    expect(told('renewalFailed')).toEqual([]);
  });

  test.each(['found no place in the login queue', 'was ended by a logout'])(
    'fails no read that waits for it: the read logs in by itself, because the renewal %s',
    async (reason) => {
      const { pass, clock, vendor, renewal, broker, inner } = await createReplica();
      await pass(0.91 * LIFE_MS);
      vendor.latencyMs = 500;
      if (reason.startsWith('found')) vendor.failure = new BrokerError('vendor_busy');
      renewal.renewDue(ID, () => undefined).catch(() => undefined);
      await pass(100);
      vendor.failure = undefined;
      const reading = broker.read({ subject: PHONE, region: 'CN', sessionIssuedAt: clock.now() });
      await pass(100);
      if (reason.startsWith('was')) await inner.terminals.remove(ID);
      await pass(1_000);
      expect(accessTokenOf(await reading)).toBe('token-3');
    },
  );

  test('waits for the store, while a read that joins it logs in without a lease', async () => {
    const { pass, vendor, watched, renewal, read } = await createReplica();
    await pass(0.995 * LIFE_MS);
    watched.down.add('acquire').add('read');
    let open = (): void => undefined;
    watched.late.set('acquire', new Promise((resolve) => (open = resolve)));
    watched.down.delete('acquire');
    const renewing = renewal.renewDue(ID, () => undefined).catch((error: unknown) => error);
    await pass(100);
    const answer = read();
    await pass(300);
    expect(await renewing).toMatchObject({ code: 'store_unavailable' } satisfies Partial<BrokerError>);
    await pass(300);
    expect(accessTokenOf(await answer)).toBe('token-2');
    expect(vendor.requests.at(-1)).toMatchObject({ urgency: 'foreground' });
    open();
    await pass(0);
  });
});
