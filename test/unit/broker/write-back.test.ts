import { describe, expect, test } from 'vitest';
import { LoginWithoutLease, WriteBack } from '../../../src/broker/store-outage.ts';
import type { TokenCache } from '../../../src/broker/token-cache.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { TerminalStore } from '../../../src/token/ports.ts';
import { dueAt, dueOnceRead } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PROACTIVE } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { eventually } from '../../support/eventually.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { ScriptedLogin } from '../../support/scripted-login.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 600_000;

/** A write-back with a store, an outage and a memory that the test controls. */
function createWriteBack() {
  const { clock, pass } = virtualClock();
  const restored: TokenRecord[] = [];
  const dueTimes: number[] = [];
  const inMemory: TokenRecord[] = [];
  const cacheIds = { idOf: ({ subject }: TokenRecord) => subjectId(subject) };
  const cache = {
    *records(checkedUntil: number) {
      expect(checkedUntil).toBe(clock.now());
      for (const record of inMemory) yield [cacheIds.idOf(record), record];
    },
  };
  const store = { restore: async (_: TokenRecord): Promise<'saved' | 'outdated'> => 'saved' };
  let storeReturns = (_lostData: boolean): void => undefined;
  const { logger: log, lines } = captureLog('debug');
  const { observer, told } = recordingObserver();
  const restore = (record: TokenRecord, due: number) => {
    restored.push(record);
    dueTimes.push(due);
    return store.restore(record);
  };
  const health = {
    ping: async () => undefined,
    onReturn: (listener: (lostData: boolean) => void) => {
      storeReturns = listener;
    },
  };
  const writeBack = new WriteBack({
    terminals: { restore } as unknown as TerminalStore,
    health,
    cache: cache as unknown as TokenCache,
    policy: PROACTIVE,
    clock,
    log,
    observer,
  });
  const recordOf = (unionId: string, generation = 1, lifeMs = LIFE_MS): TokenRecord => {
    const issuedAt = clock.now();
    const token = { fields: { accessToken: `${unionId} ${generation}` }, issuedAt, expiresAt: issuedAt + lifeMs };
    const subject = { app: 'default', unionId, uniqueId: 'phone' };
    return { subject, region: 'CN', token, generation, read: true, unreadRenewals: 0 };
  };
  return { clock, pass, writeBack, store, restored, dueTimes, inMemory, cacheIds, recordOf, lines, told, storeReturns };
}

describe('a token that the store missed', () => {
  test('is written after one second, with its due time', async () => {
    const { pass, writeBack, restored, dueTimes, recordOf, told } = createWriteBack();
    const record = recordOf('alice');
    writeBack.add(record);
    await pass(999);
    expect(restored).toEqual([]);
    await pass(1);
    expect(restored).toEqual([record]);
    expect(dueTimes).toEqual([dueAt(record, PROACTIVE)]);
    await pass(10_000);
    expect(restored).toHaveLength(1);
    expect(told('wroteBack')).toEqual([['saved']]);
  });

  test('is written after one second even if other tokens are missed all the time', async () => {
    const { pass, writeBack, restored, recordOf } = createWriteBack();
    writeBack.add(recordOf('alice'));
    for (let number = 0; number < 4; number += 1) {
      await pass(300);
      writeBack.add(recordOf(`account-${number}`));
    }
    expect(restored[0]?.subject.unionId).toBe('alice');
  });

  test('is tried every second until the store accepts it', async () => {
    const { pass, writeBack, store, restored, recordOf, lines } = createWriteBack();
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    writeBack.add(recordOf('alice'));
    await pass(3_000);
    expect(restored).toHaveLength(3);
    expect(lines()).toEqual([]);
    store.restore = async () => 'outdated';
    await pass(1_000);
    expect(restored).toHaveLength(4);
    await pass(10_000);
    expect(restored).toHaveLength(4);
  });

  test('is written at once when the store is back', async () => {
    const { pass, writeBack, restored, recordOf, storeReturns } = createWriteBack();
    writeBack.add(recordOf('alice'));
    storeReturns(false);
    await pass(0);
    expect(restored).toHaveLength(1);
    await pass(10_000);
    expect(restored).toHaveLength(1);
  });

  test('is written once, even if the store comes back twice while it is written', async () => {
    const { pass, writeBack, store, restored, recordOf, storeReturns } = createWriteBack();
    let answer = (): void => undefined;
    store.restore = () =>
      new Promise((resolve) => {
        answer = () => resolve('saved');
      });
    writeBack.add(recordOf('alice'));
    storeReturns(false);
    storeReturns(false);
    await pass(2_000);
    answer();
    await pass(2_000);
    expect(restored).toHaveLength(1);
  });

  test('is left out if a newer token of its subject is missing too', async () => {
    const { pass, writeBack, restored, recordOf } = createWriteBack();
    for (const generation of [2, 3, 1]) writeBack.add(recordOf('alice', generation));
    await pass(1_000);
    expect(restored.map(({ generation }) => generation)).toEqual([3]);
  });

  test('does not displace a newer token that is missed while it is written', async () => {
    const { pass, writeBack, store, restored, recordOf } = createWriteBack();
    store.restore = async ({ generation }) => {
      if (generation === 1) writeBack.add(recordOf('alice', 2));
      return 'saved';
    };
    writeBack.add(recordOf('alice', 1));
    await pass(3_000);
    expect(restored.map(({ generation }) => generation)).toEqual([1, 2]);
  });

  test('is given up once it may no longer be served', async () => {
    const { pass, writeBack, store, restored, recordOf } = createWriteBack();
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    // Its margin is 5 % of its life.
    writeBack.add(recordOf('alice', 1, 2_000));
    await pass(1_899);
    expect(restored).toHaveLength(1);
    await pass(60_000);
    expect(restored).toHaveLength(1);
  });

  test('is not written at its margin', async () => {
    const { pass, writeBack, restored, recordOf } = createWriteBack();
    const record = recordOf('alice', 1, 20_000);
    await pass(18_000);
    writeBack.add(record);
    await pass(1_000);
    expect(restored).toEqual([]);
  });

  test('is given up at shutdown, and no timer is left', async () => {
    const { pass, writeBack, restored, recordOf } = createWriteBack();
    writeBack.add(recordOf('alice'));
    writeBack.stop();
    writeBack.add(recordOf('bob'));
    await pass(60_000);
    expect(restored).toEqual([]);
  });

  test('is given up if it is missed after the shutdown', async () => {
    const { pass, writeBack, restored, recordOf } = createWriteBack();
    writeBack.stop();
    writeBack.add(recordOf('alice'));
    await pass(60_000);
    expect(restored).toEqual([]);
  });
});

describe('a token that the store refuses', () => {
  /** Refuses the records of these accounts. */
  function refuse(store: { restore: (record: TokenRecord) => Promise<'saved' | 'outdated'> }, accounts: Set<string>) {
    store.restore = async ({ subject }) => {
      if (accounts.has(subject.unionId)) throw new BrokerError('store_unavailable');
      return 'saved';
    };
  }

  test('does not hold up the others', async () => {
    const { pass, writeBack, store, restored, recordOf, lines, told } = createWriteBack();
    refuse(store, new Set(['bad']));
    writeBack.add(recordOf('bad'));
    for (let number = 0; number < 130; number += 1) writeBack.add(recordOf(`account-${number}`));
    await pass(1_000);
    expect(new Set(restored.map(({ subject }) => subject.unionId)).size).toBe(131);
    expect(told('wroteBack')).toHaveLength(130);
    expect(lines()).toEqual([expect.objectContaining({ tokens: 130 })]);
    refuse(store, new Set());
    await pass(1_000);
    expect(told('wroteBack')).toHaveLength(131);
  });

  test('lets those behind it have their turn, even if a whole batch is refused', async () => {
    const { pass, writeBack, store, recordOf, told } = createWriteBack();
    const shard = Array.from({ length: 64 }, (_, number) => `bad-${number}`);
    refuse(store, new Set(shard));
    for (const unionId of [...shard, 'alice']) writeBack.add(recordOf(unionId));
    await pass(1_000);
    expect(told('wroteBack')).toEqual([]);
    await pass(1_000);
    expect(told('wroteBack')).toEqual([['saved']]);
  });

  test('does not displace a newer token that is missed while it is refused', async () => {
    const { pass, writeBack, store, restored, recordOf } = createWriteBack();
    store.restore = async ({ generation }) => {
      if (generation === 2) return 'saved';
      writeBack.add(recordOf('alice', 2));
      throw new BrokerError('store_unavailable');
    };
    writeBack.add(recordOf('alice', 1));
    await pass(5_000);
    expect(restored.map(({ generation }) => generation)).toEqual([1, 2]);
  });
});

describe('the number of tokens that wait', () => {
  const MAX_MISSING = 50_000;

  test('is bounded: the oldest ones are given up', async () => {
    const { pass, writeBack, restored, recordOf, storeReturns } = createWriteBack();
    for (let number = 0; number < MAX_MISSING + 2; number += 1) writeBack.add(recordOf(`account-${number}`));
    storeReturns(false);
    await pass(1);
    expect(restored).toHaveLength(MAX_MISSING);
    expect(restored[0]?.subject.unionId).toBe('account-2');
  });

  test('does not include tokens that may no longer be served: they make room', async () => {
    const { pass, writeBack, store, restored, recordOf, storeReturns } = createWriteBack();
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    for (let number = 0; number < 64; number += 1) writeBack.add(recordOf(`long-${number}`));
    for (let number = 64; number < MAX_MISSING; number += 1) writeBack.add(recordOf(`short-${number}`, 1, 1_500));
    await pass(2_000);
    for (let number = 64; number < MAX_MISSING; number += 1) writeBack.add(recordOf(`new-${number}`));
    restored.length = 0;
    store.restore = async () => 'saved';
    storeReturns(false);
    await pass(1);
    expect(restored.filter(({ subject }) => subject.unionId.startsWith('long'))).toHaveLength(64);
    expect(restored).toHaveLength(MAX_MISSING);
  });

  test('does not include the tokens in memory that the store has lost: all of them are written', async () => {
    const { pass, writeBack, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    for (let number = 0; number < MAX_MISSING + 2; number += 1) inMemory.push(recordOf(`account-${number}`));
    writeBack.add(recordOf('alice'));
    storeReturns(true);
    await pass(1);
    expect(restored).toHaveLength(MAX_MISSING + 3);
  });
});

describe('after the store has lost its data', () => {
  test('the ids come from memory, so that no digest is computed', async () => {
    const { pass, inMemory, cacheIds, dueTimes, recordOf, storeReturns } = createWriteBack();
    const record = recordOf('alice');
    const otherId = subjectId({ ...record.subject, unionId: 'bob' });
    cacheIds.idOf = () => otherId;
    inMemory.push(record);
    storeReturns(true);
    await pass(1);
    expect(dueTimes).toEqual([dueAt(record, PROACTIVE, otherId)]);
    expect(dueTimes).not.toEqual([dueAt(record, PROACTIVE)]);
  });

  test('a token in memory is read only when its turn comes', async () => {
    const { pass, store, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    for (let number = 0; number < 64; number += 1) inMemory.push(recordOf(`account-${number}`));
    let answer = (): void => undefined;
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    store.restore = () => answered.then(() => 'saved');
    storeReturns(true);
    await pass(1);
    inMemory.push(recordOf('late'));
    answer();
    await pass(1);
    expect(restored).toHaveLength(65);
  });

  test('the tokens that the store missed are written first', async () => {
    const { pass, writeBack, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    inMemory.push(recordOf('alice', 1), recordOf('bob', 1));
    writeBack.add(recordOf('bob', 2));
    storeReturns(true);
    await pass(1);
    const written = restored.map(({ subject, generation }) => `${subject.unionId} ${generation}`);
    expect(written).toEqual(['bob 2', 'alice 1', 'bob 1']);
  });

  test('all tokens in memory are written even if the store fails for long meanwhile, and no more than 64 wait', async () => {
    const { pass, store, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    for (let number = 0; number < 200; number += 1) inMemory.push(recordOf(`account-${number}`));
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    storeReturns(true);
    await pass(100_000);
    expect(restored.length).toBeGreaterThan(6_000);
    expect(new Set(restored.map(({ subject }) => subject.unionId)).size).toBe(64);
    restored.length = 0;
    store.restore = async () => 'saved';
    storeReturns(false);
    await pass(1);
    expect(restored).toHaveLength(200);
  });

  test('all tokens in memory are written, at most 64 at a time, and their number is logged', async () => {
    const { pass, store, restored, inMemory, recordOf, storeReturns, lines } = createWriteBack();
    inMemory.push(...Array.from({ length: 130 }, (_, number) => recordOf(`account-${number}`)));
    let [open, most] = [0, 0];
    store.restore = async () => {
      open += 1;
      most = Math.max(most, open);
      await new Promise(setImmediate);
      open -= 1;
      return 'saved';
    };
    storeReturns(true);
    for (let turn = 0; turn < 20; turn += 1) await pass(1);
    expect(new Set(restored.map(({ subject }) => subject.unionId)).size).toBe(130);
    expect(restored).toHaveLength(130);
    expect(most).toBe(64);
    expect(lines()).toEqual([expect.objectContaining({ tokens: 130 })]);
  });

  test('an app’s read of a token is written too, even if another replica has restored the token as unread', async () => {
    const clock = new TestClock();
    const [full, empty] = [0, 1].map(() => createMemoryStore({ clock, terminalsPerAccount: 20 }));
    if (!full || !empty) throw new Error('no stores');
    let current = full;
    const terminals = new Proxy(full.terminals, {
      get: (_, name) => (Reflect.get(current.terminals, name) as () => unknown).bind(current.terminals),
    });
    const storeReturns: ((lostData: boolean) => void)[] = [];
    const health = { ping: async () => undefined, onReturn: storeReturns.push.bind(storeReturns) };
    const store = { ...full, terminals, health };
    const [renewing, reading] = [brokerParts({ clock, store }), brokerParts({ clock, store })];
    const subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
    const id = subjectId(subject);
    const read = ({ broker }: typeof reading) => broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now() });
    const isRead = async () => (await current.terminals.read(id)).record?.read;
    await read(renewing);
    const { record } = await renewing.renewInBackground(id);
    await read(reading);
    await eventually(async () => expect(await isRead()).toBe(true));
    current = empty;
    storeReturns[0]?.(true);
    await eventually(async () => expect(await isRead()).toBe(false));
    storeReturns[1]?.(true);
    await eventually(async () => expect(await isRead()).toBe(true));
    expect((await empty.dueQueue.claim(1, 1)).nextInMs).toBe(dueOnceRead(record, PROACTIVE) - clock.now());
  });

  test('only what it missed is written if it still has its data', async () => {
    const { pass, restored, inMemory, recordOf, storeReturns, lines } = createWriteBack();
    inMemory.push(recordOf('alice'));
    storeReturns(false);
    await pass(10_000);
    expect(restored).toEqual([]);
    expect(lines()).toEqual([]);
  });
});

describe('a login without a lease', () => {
  function createLogin(oldestValid = 0) {
    const { clock, pass } = virtualClock();
    const vendor = new ScriptedLogin(clock);
    const put: unknown[][] = [];
    const added: TokenRecord[] = [];
    const login = new LoginWithoutLease({
      vendor,
      cache: {
        oldestValid: () => oldestValid,
        erasedAt: () => 7,
        getStale: () => undefined,
        put: (...args: unknown[]) => put.push(args),
      } as unknown as TokenCache,
      writeBack: { add: (record: TokenRecord) => added.push(record) } as unknown as WriteBack,
      clock,
      loginBudgetMs: 5_000,
    });
    const subject = { app: 'default', unionId: 'alice', uniqueId: 'phone' };
    const logIn = async (known?: TokenRecord, cause: 'new' | 'due' = 'new', region?: string) => {
      const request = { id: subjectId(subject), subject, region, known, cause, sessionIssuedAt: undefined };
      const running = login.logIn(
        { ...request, urgency: 'foreground', satisfies: () => true },
        new BrokerError('store_unavailable'),
      );
      const result = running.catch((error: BrokerError) => error.code);
      await pass(0);
      return result;
    };
    const knownRecord = (generation: number): TokenRecord => {
      const token = { fields: {}, issuedAt: clock.now(), expiresAt: clock.now() + 60_000 };
      return { subject, region: 'DE', token, generation, read: false, unreadRenewals: 3 };
    };
    return { clock, pass, vendor, put, added, logIn, knownRecord };
  }

  test('gives a token that counts as read and not as stored, and is written back', async () => {
    const { clock, added, put, logIn } = createLogin();
    const renewed = await logIn(undefined, 'new', 'CN');
    expect(renewed).toMatchObject({ outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY, erasedAt: 7 });
    const [record] = added;
    expect(record).toMatchObject({ region: 'CN', read: true, unreadRenewals: 0, generation: clock.now() - 5_000 });
    expect(put).toEqual([[record, { id: expect.any(String), checkedAt: Number.NEGATIVE_INFINITY, erasedAt: 7 }]]);
  });

  test('uses the country of the known token, and is urgent', async () => {
    const { vendor, logIn, knownRecord } = createLogin();
    await logIn(knownRecord(1), 'new', 'CN');
    expect(vendor.requests).toMatchObject([{ region: 'DE', urgency: 'foreground', budgetMs: 5_000 }]);
  });

  test('gives a newer generation than the known token has, however fast the clock of its replica was', async () => {
    const { clock, logIn, knownRecord } = createLogin();
    const generation = clock.now() + 60_000;
    expect(await logIn(knownRecord(generation))).toMatchObject({ record: { generation: generation + 1 } });
  });

  test('gives a newer generation than the last logout that this replica knows of', async () => {
    const { logIn, knownRecord } = createLogin(9_000_000_000_000);
    expect(await logIn(knownRecord(1))).toMatchObject({ record: { generation: 9_000_000_000_001 } });
  });

  test('is refused while the known token is due, but far from its end: the read can wait for the store', async () => {
    const { pass, vendor, logIn, knownRecord } = createLogin();
    const known = knownRecord(1);
    await pass(53_999);
    expect(await logIn(known, 'due')).toBe('store_unavailable');
    expect(vendor.requests).toHaveLength(0);
    await pass(1);
    expect(await logIn(known, 'due')).toMatchObject({ outcome: 'login' });
  });

  test('is refused if this replica does not know the country', async () => {
    const { vendor, logIn } = createLogin();
    expect(await logIn()).toBe('store_unavailable');
    expect(vendor.requests).toHaveLength(0);
  });
});
