import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { cachedToken } from '../../../src/broker/cached-tokens.ts';
import type { Removal, TokenCache } from '../../../src/broker/token-cache.ts';
import { WriteBack } from '../../../src/broker/write-back.ts';
import { SHARDS } from '../../../src/store/redis/keys.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type {
  AccountStore,
  RestoreOutcome,
  SessionsEnd,
  StoreHistory,
  TerminalStore,
} from '../../../src/token/ports.ts';
import { dueAt, dueOnceRead } from '../../../src/token/renewal-timing.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { type AccountId, accountId, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, follow, PHONE, PHONE_ID, PROACTIVE, recordOfOther } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { deferred } from '../../support/deferred.ts';
import { claimLeases } from '../../support/due-claims.ts';
import { eventually } from '../../support/eventually.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { replacedStore } from '../../support/replaced-store.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';

const LIFE_MS = 600_000;

/** A write-back with a store, an outage and a memory that the test controls. */
const logout = (id: SubjectId | AccountId, generation: number): Removal => ({ id, how: 'loggedout', generation });
const erasure = (id: AccountId, generation: number): Removal => ({ id, how: 'erased', generation });

function createWriteBack() {
  const { clock, pass } = virtualClock();
  const restored: TokenRecord[] = [];
  const dueTimes: number[] = [];
  const inMemory: TokenRecord[] = [];
  let startedAt: number[] = [];
  const removals: Removal[] = [];
  const removed: [SubjectId, number | undefined][] = [];
  const cache = {
    tokens: {
      *confirmed(checkedUntil: number, now: number) {
        expect([checkedUntil, now]).toEqual(startedAt);
        for (const record of inMemory) {
          const id = subjectId(record.subject);
          yield cachedToken(record, { id, checkedAt: 0, sessionsEndedAt: undefined, renewFrom: 0 });
        }
      },
      remove: (id: SubjectId, generation?: number) => void removed.push([id, generation]),
    },
    *removals() {
      startedAt = [clock.monotonic(), clock.now()];
      yield* removals;
    },
    newestKnown: () => 0,
    outdatedUntil: (id: SubjectId) => removals.find((removal) => removal.id === id)?.generation ?? 0,
  };
  const store = {
    restore: async (_: TokenRecord): Promise<RestoreOutcome> => 'saved',
    repeat: async (_id: SubjectId | AccountId, _generation: number): Promise<void> => undefined,
    clock: Number.POSITIVE_INFINITY as number | undefined,
  };
  /** The ids and generations of the repeated logouts and erasures, and the restored tokens, in order. */
  const written: string[] = [];
  let storeReturns = (_history: StoreHistory): void => undefined;
  const { logger: log, lines } = captureLog('debug');
  const { observer, told } = recordingObserver();
  const restore = (record: TokenRecord, due: number) => {
    restored.push(record);
    written.push(`token of ${record.subject.unionId}`);
    dueTimes.push(due);
    return store.restore(record);
  };
  const health = {
    ping: async () => undefined,
    onReturn: (listener: (history: StoreHistory) => void) => {
      storeReturns = listener;
    },
  };
  const writeBack = new WriteBack({
    terminals: {
      restore,
      clockFor: () => store.clock,
      markRead: async (_: SubjectId, generation: number) => void written.push(`read of ${generation}`),
      drop: async ({ subject }: TokenRecord) => void written.push(`dropped login of ${subject.unionId}`),
      repeatRemoval: (id: SubjectId, generation: number) => {
        written.push(`logout ${id} ${generation}`);
        return store.repeat(id, generation);
      },
    } as unknown as TerminalStore,
    accounts: {
      repeatEnd: (account: AccountId, how: SessionsEnd, generation: number) => {
        written.push(`${how} ${account} ${generation}`);
        return store.repeat(account, generation);
      },
    } as AccountStore,
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
    return recordOfOther(generation, { subject: { ...PHONE, unionId }, token });
  };
  /** Adds records whose first try fails. The next tries succeed. */
  const miss = async (...records: readonly TokenRecord[]) => {
    const { restore: restoreLater } = store;
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    for (const record of records) writeBack.add(record);
    await pass(0);
    store.restore = restoreLater;
    for (const list of [restored, dueTimes, written]) list.length = 0;
  };
  const controls = { clock, pass, store, storeReturns, inMemory, removals, miss };
  return { ...controls, writeBack, recordOf, restored, dueTimes, written, removed, lines, told };
}

describe('a token that the store missed', () => {
  test('is written at once, with its due time', async () => {
    const { pass, writeBack, restored, dueTimes, recordOf, told } = createWriteBack();
    const record = recordOf('alice');
    writeBack.add(record);
    expect(writeBack.hasRecordOf(subjectId(record.subject))).toBe(true);
    await pass(0);
    expect(writeBack.hasRecordOf(subjectId(record.subject))).toBe(false);
    expect(restored).toEqual([record]);
    expect(dueTimes).toEqual([dueAt(record, PROACTIVE)]);
    await pass(10_000);
    expect(restored).toHaveLength(1);
    expect(told('wroteBack')).toEqual([['saved']]);
  });

  test('is written one second after a failure even if other tokens are missed all the time', async () => {
    const { pass, writeBack, store, restored, recordOf, miss } = createWriteBack();
    // Each new token tries the store for all that wait, so those tries fail here.
    await miss(recordOf('alice'));
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    for (let number = 0; number < 3; number += 1) {
      await pass(300);
      writeBack.add(recordOf(`account-${number}`));
    }
    await pass(0);
    store.restore = async () => 'saved';
    restored.length = 0;
    await pass(99);
    expect(restored).toEqual([]);
    await pass(1);
    expect(restored).toHaveLength(4);
  });

  test('is written with the next one after a failure, without waiting for the second', async () => {
    const { pass, writeBack, restored, recordOf, miss } = createWriteBack();
    await miss(recordOf('alice'));
    await pass(100);
    writeBack.add(recordOf('bob'));
    await pass(0);
    expect(restored.map(({ subject }) => subject.unionId).sort()).toEqual(['alice', 'bob']);
  });

  test('is tried every second until the store accepts it', async () => {
    const { pass, writeBack, store, restored, recordOf, lines } = createWriteBack();
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    writeBack.add(recordOf('alice'));
    await pass(3_000);
    // At once, and each second after it.
    expect(restored).toHaveLength(4);
    expect(lines()).toEqual([]);
    store.restore = async () => 'outdated';
    await pass(1_000);
    expect(restored).toHaveLength(5);
    await pass(10_000);
    expect(restored).toHaveLength(5);
  });

  test('waits for the clock of the store, and says that the vendor answered before now', async () => {
    const { pass, writeBack, store, restored, recordOf } = createWriteBack();
    const record = { ...recordOf('alice'), generation: 1_000, answeredAt: 8_000 };
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    store.clock = undefined;
    writeBack.add(record);
    await pass(1_000);
    for (const now of [3_500.5, 500, 9_000]) {
      store.clock = now;
      await pass(1_000);
    }
    expect(restored.map(({ answeredAt }) => answeredAt)).toEqual([3_500, 1_000, 8_000]);
  });

  test('is not written while the clock of the store is not known, and the error says so', async () => {
    const { writeBack, store, restored, recordOf } = createWriteBack();
    store.clock = undefined;
    const record = recordOf('alice');
    await expect(writeBack.write(subjectId(record.subject), record)).rejects.toMatchObject({
      code: 'store_unavailable',
      cause: { message: expect.stringContaining('clock') },
    });
    expect(restored).toEqual([]);
  });

  test('is written once, even if the store comes back twice while it is written', async () => {
    const { pass, writeBack, store, restored, recordOf, storeReturns } = createWriteBack();
    const answer = deferred<RestoreOutcome>();
    store.restore = () => answer.promise;
    writeBack.add(recordOf('alice'));
    storeReturns('same');
    storeReturns('same');
    await pass(2_000);
    answer.resolve('saved');
    await pass(2_000);
    expect(restored).toHaveLength(1);
  });

  test('is tried alone while others wait for a store that takes nothing', async () => {
    const { pass, writeBack, store, written, recordOf, miss } = createWriteBack();
    await miss(...['alice', 'bob', 'carol'].map((unionId) => recordOf(unionId)));
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    writeBack.add(recordOf('dave'));
    await pass(100);
    expect(written).toEqual(['token of dave']);
  });

  test('is left out if a newer token of its subject is missing too', async () => {
    const { pass, restored, recordOf, miss } = createWriteBack();
    await miss(...[2, 3, 1].map((generation) => recordOf('alice', generation)));
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
    expect(restored).toHaveLength(2);
    await pass(60_000);
    expect(restored).toHaveLength(2);
  });

  test('is not written at its margin', async () => {
    const { pass, writeBack, restored, recordOf } = createWriteBack();
    const record = recordOf('alice', 1, 20_000);
    await pass(19_000);
    writeBack.add(record);
    await pass(1_000);
    expect(restored).toEqual([]);
  });

  test('is written at shutdown, at once, and the shutdown waits for it', async () => {
    const { pass, writeBack, restored, recordOf, miss } = createWriteBack();
    await miss(recordOf('alice'));
    const settled = writeBack.settle(1_000);
    await pass(0);
    await settled;
    expect(restored.map(({ subject }) => subject.unionId)).toEqual(['alice']);
  });

  test.each<[string, (parts: ReturnType<typeof createWriteBack>) => void]>([
    ['token', ({ writeBack, recordOf }) => writeBack.add(recordOf('alice'))],
    ['logout', ({ writeBack, recordOf }) => writeBack.repeatRemoval(logout(subjectId(recordOf('alice').subject), 1))],
    ['erasure', ({ writeBack }) => writeBack.repeatRemoval(erasure(accountId('alice'), 1))],
  ])('is on its way to the store: the shutdown waits for the %s', async (_, start) => {
    const parts = createWriteBack();
    const { pass, writeBack, store } = parts;
    const answer = deferred<RestoreOutcome>();
    store.restore = () => answer.promise;
    store.repeat = () => answer.promise.then(() => undefined);
    start(parts);
    const settled = follow(writeBack.settle(1_000));
    await pass(500);
    expect(settled.result).toBe('waits');
    answer.resolve('saved');
    await pass(100);
    expect(settled.result).toBeUndefined();
  });

  test('starts no timer if its write fails after the shutdown', async () => {
    const { clock, writeBack, store, recordOf } = createWriteBack();
    const answer = deferred<RestoreOutcome>();
    store.restore = () => answer.promise;
    writeBack.add(recordOf('alice'));
    await writeBack.settle(0);
    const setTimer = vi.spyOn(clock, 'setTimer');
    answer.reject(new BrokerError('store_unavailable'));
    await nextTurn();
    expect(setTimer).not.toHaveBeenCalled();
  });

  test('is given up if the store fails until the end of the shutdown, and no timer is left', async () => {
    const { pass, writeBack, store, restored, recordOf, miss } = createWriteBack();
    await miss(recordOf('alice'));
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    const settled = follow(writeBack.settle(1_000));
    await pass(900);
    expect(settled.result).toBe('waits');
    await pass(300);
    expect(settled.result).toBeUndefined();
    store.restore = async () => 'saved';
    restored.length = 0;
    writeBack.add(recordOf('bob'));
    await pass(60_000);
    expect(restored).toEqual([]);
  });
});

describe('a token that the store refuses', () => {
  /** Refuses the records of these accounts. */
  function refuse(store: { restore: (record: TokenRecord) => Promise<RestoreOutcome> }, accounts: Set<string>) {
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
    expect(lines()).toEqual([expect.objectContaining({ written: 130 })]);
    refuse(store, new Set());
    await pass(1_000);
    expect(told('wroteBack')).toHaveLength(131);
  });

  test('lets those behind it have their turn, even if a whole batch is refused', async () => {
    const { pass, writeBack, store, recordOf, told } = createWriteBack();
    // The first one is tried alone, and then waits behind all others.
    const shard = Array.from({ length: 65 }, (_, number) => `bad-${number}`);
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

describe('a token that a logout or an erasure has outdated', () => {
  test('is not written back, whether it waits already or not', async () => {
    const { pass, writeBack, restored, removals, removed, written, told, recordOf, miss } = createWriteBack();
    const [alice, bob] = [recordOf('alice', 5), recordOf('bob', 5)];
    await miss(alice);
    removals.push(logout(subjectId(alice.subject), 5), logout(subjectId(bob.subject), 4));
    writeBack.add(alice);
    writeBack.add(bob);
    await pass(2_000);
    expect(restored).toEqual([bob]);
    // The store learns of the login alone, and memory forgets the token.
    expect(written.filter((one) => one !== 'token of bob')).toEqual(Array(2).fill('dropped login of alice'));
    expect(removed).toEqual(Array(2).fill([subjectId(alice.subject), 5]));
    expect(told('wroteBack').toSorted()).toEqual([['outdated'], ['outdated'], ['saved']]);
  });

  test('leaves memory if only the store knows of the logout, and is reported', async () => {
    const { pass, writeBack, store, removed, recordOf, told } = createWriteBack();
    store.restore = async () => 'outdated';
    const record = recordOf('alice', 5);
    writeBack.add(record);
    await pass(0);
    expect(removed).toEqual([[subjectId(record.subject), 5]]);
    expect(told('wroteBack')).toEqual([['outdated']]);
  });

  test.each([
    ['saved', 'saved', ['token of alice', 'read of 5']],
    ['suspect', 'saved', ['token of alice']],
    ['superseded', 'outdated', ['token of alice']],
  ] as const)('is none if the store answers %s: memory keeps it, and it is reported as %s', async (...answer) => {
    const [outcome, event, calls] = answer;
    const { pass, writeBack, store, removed, written, recordOf, told } = createWriteBack();
    store.restore = async () => outcome;
    writeBack.add({ ...recordOf('alice', 5), unreadRenewals: 1 });
    await pass(0);
    expect(removed).toEqual([]);
    expect(written).toEqual(calls);
    expect(told('wroteBack')).toEqual([[event]]);
  });
});

describe('a logout or an erasure that the store has lost', () => {
  const ALICE = PHONE_ID;
  const BOB = accountId('bob');

  test('is repeated at once, and each second until the store accepts it', async () => {
    const { pass, writeBack, store, written } = createWriteBack();
    store.repeat = () => Promise.reject(new BrokerError('store_unavailable'));
    writeBack.repeatRemoval(logout(ALICE, 5));
    writeBack.repeatRemoval(erasure(BOB, 6));
    await pass(0);
    expect(written[0]).toBe(`logout ${ALICE} 5`);
    await pass(1_000);
    expect(written).toContain(`erased ${BOB} 6`);
    written.length = 0;
    store.repeat = async () => undefined;
    await pass(1_000);
    expect(written.toSorted()).toEqual([`erased ${BOB} 6`, `logout ${ALICE} 5`].toSorted());
    await pass(10_000);
    expect(written).toHaveLength(2);
  });

  test('is repeated beside another one of the account of the other kind', async () => {
    const { pass, writeBack, store, written } = createWriteBack();
    store.repeat = () => Promise.reject(new BrokerError('store_unavailable'));
    writeBack.repeatRemoval(erasure(BOB, 6));
    writeBack.repeatRemoval(logout(BOB, 7));
    await pass(0);
    written.length = 0;
    store.repeat = async () => undefined;
    await pass(1_000);
    expect(written.toSorted()).toEqual([`erased ${BOB} 6`, `loggedout ${BOB} 7`]);
  });

  test('is repeated at shutdown, and the shutdown waits for it', async () => {
    const { pass, writeBack, store, written } = createWriteBack();
    store.repeat = () => Promise.reject(new BrokerError('store_unavailable'));
    writeBack.repeatRemoval(logout(ALICE, 5));
    await pass(0);
    written.length = 0;
    store.repeat = async () => undefined;
    await writeBack.settle(1_000);
    expect(written).toEqual([`logout ${ALICE} 5`]);
  });

  test('is repeated with its last generation, before the tokens that wait', async () => {
    const { pass, writeBack, store, written, recordOf, miss } = createWriteBack();
    await miss(recordOf('carol'));
    store.repeat = () => Promise.reject(new BrokerError('store_unavailable'));
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    for (const generation of [7, 9, 8]) writeBack.repeatRemoval(logout(ALICE, generation));
    await pass(0);
    written.length = 0;
    store.repeat = async () => undefined;
    store.restore = async () => 'saved';
    await pass(1_000);
    expect(written).toEqual([`logout ${ALICE} 9`, 'token of carol']);
  });

  test.each(['lost', 'went_back'] as const)(
    'is repeated before the tokens in memory if the data of the store is reported as %s, and not if it is the same',
    async (history) => {
      const { pass, written, removals, inMemory, recordOf, storeReturns } = createWriteBack();
      removals.push(logout(ALICE, 5), erasure(BOB, 6));
      inMemory.push(recordOf('carol'));
      storeReturns('same');
      await pass(1_000);
      expect(written).toEqual([]);
      storeReturns(history);
      await pass(0);
      expect(written).toEqual([`logout ${ALICE} 5`, `erased ${BOB} 6`, 'token of carol']);
    },
  );
});

describe('the number of tokens that wait', () => {
  const MAX_MISSING = 50_000;

  test('is bounded: the oldest ones are given up', async () => {
    const { pass, restored, recordOf, miss, storeReturns } = createWriteBack();
    // The first one is tried alone, and then waits behind all others.
    await miss(...Array.from({ length: MAX_MISSING + 2 }, (_, number) => recordOf(`account-${number}`)));
    storeReturns('same');
    await pass(1);
    expect(restored).toHaveLength(MAX_MISSING);
    expect(restored[0]?.subject.unionId).toBe('account-3');
  });

  test('is bounded for logouts and erasures too', async () => {
    const { pass, writeBack, store, written, storeReturns } = createWriteBack();
    const unavailable = new BrokerError('store_unavailable');
    store.repeat = () => Promise.reject(unavailable);
    for (let number = 0; number < MAX_MISSING + 2; number += 1)
      writeBack.repeatRemoval(erasure(accountId(`${number}`), 1));
    await pass(0);
    written.length = 0;
    store.repeat = async () => undefined;
    storeReturns('same');
    await pass(1);
    expect(written).toHaveLength(MAX_MISSING);
  });

  test('does not include tokens that may no longer be served: they make room', async () => {
    const { pass, writeBack, store, restored, recordOf, storeReturns } = createWriteBack();
    // One error for all: 100,000 stack traces take longer than the rest.
    const unavailable = new BrokerError('store_unavailable');
    store.restore = () => Promise.reject(unavailable);
    for (let number = 0; number < 64; number += 1) writeBack.add(recordOf(`long-${number}`));
    for (let number = 64; number < MAX_MISSING; number += 1) writeBack.add(recordOf(`short-${number}`, 1, 1_500));
    await pass(2_000);
    for (let number = 64; number < MAX_MISSING; number += 1) writeBack.add(recordOf(`new-${number}`));
    restored.length = 0;
    store.restore = async () => 'saved';
    storeReturns('same');
    await pass(1_000);
    expect(restored.filter(({ subject }) => subject.unionId.startsWith('long'))).toHaveLength(64);
    expect(restored).toHaveLength(MAX_MISSING);
  });
});

/** Two replicas on a store that can be replaced by an empty one. */
function twoReplicas() {
  const clock = new TestClock();
  const { store: replaced, past: empty, replace: loseData } = replacedStore(clock);
  const storeReturns: ((history: StoreHistory) => void)[] = [];
  const health = {
    ping: async () => undefined,
    onReturn: (listener: (history: StoreHistory) => void) => void storeReturns.push(listener),
  };
  const store = { ...replaced, health };
  const [renewing, reading] = [brokerParts({ clock, store }), brokerParts({ clock, store })];
  const [subject, id] = [PHONE, PHONE_ID];
  return {
    clock,
    empty,
    renewing,
    reading,
    storeReturns,
    subject,
    id,
    stored: async () => (await replaced.terminals.read(id)).record,
    loseData,
  };
}

describe('after the store has lost its data', () => {
  test('a token in memory is read only when its turn comes', async () => {
    const { pass, store, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    for (let number = 0; number < 64; number += 1) inMemory.push(recordOf(`account-${number}`));
    const answer = deferred<RestoreOutcome>();
    store.restore = () => answer.promise;
    storeReturns('lost');
    await pass(1);
    inMemory.push(recordOf('late'));
    answer.resolve('saved');
    await pass(1);
    expect(restored).toHaveLength(65);
  });

  test('the tokens that the store missed are written first, and the newest one in memory too', async () => {
    const { pass, restored, inMemory, recordOf, miss, storeReturns } = createWriteBack();
    inMemory.push(recordOf('alice', 1), recordOf('bob', 1), recordOf('carol', 3));
    await miss(recordOf('bob', 2), recordOf('carol', 2));
    storeReturns('lost');
    await pass(1);
    const written = restored.map(({ subject, generation }) => `${subject.unionId} ${generation}`);
    expect(written.slice(0, 2).sort()).toEqual(['bob 2', 'carol 2']);
    expect(written.slice(2)).toEqual(['alice 1', 'carol 3']);
  });

  test('the tokens of the last ten minutes are written before older ones, because a failover loses the last writes', async () => {
    const { pass, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    const [old, recent, other] = ['old', 'recent', 'other'].map((unionId) => recordOf(unionId));
    if (!old || !recent || !other) throw new Error('no records');
    const issuedAt = old.token.issuedAt - 600_001;
    inMemory.push({ ...old, token: { ...old.token, issuedAt } }, recent, other);
    storeReturns('went_back');
    await pass(1);
    expect(restored.map(({ subject }) => subject.unionId)).toEqual(['recent', 'other', 'old']);
  });

  test('a token that waits is written once, as only its own write knows its session', async () => {
    const { pass, written, inMemory, recordOf, miss, storeReturns } = createWriteBack();
    const record = recordOf('alice');
    inMemory.push(record, recordOf('bob'));
    await miss(record);
    storeReturns('lost');
    await pass(1);
    expect(written).toEqual(['token of alice', 'token of bob']);
  });

  test('a token that is on its way to the store is not written again, as only its own write knows its session', async () => {
    const { pass, writeBack, store, written, inMemory, recordOf, miss, storeReturns } = createWriteBack();
    await miss(recordOf('bob'));
    const answer = deferred<RestoreOutcome>();
    store.restore = () => answer.promise;
    const record = recordOf('alice');
    inMemory.push(record);
    writeBack.add(record, 1);
    storeReturns('lost');
    await pass(0);
    answer.resolve('saved');
    await pass(0);
    expect(written).toEqual(['token of alice', 'token of bob']);
  });

  test('all tokens in memory are written even if the store fails for long meanwhile, and no more than 64 wait', async () => {
    const { pass, store, restored, inMemory, recordOf, storeReturns } = createWriteBack();
    for (let number = 0; number < 200; number += 1) inMemory.push(recordOf(`account-${number}`));
    store.restore = () => Promise.reject(new BrokerError('store_unavailable'));
    storeReturns('lost');
    await pass(100_000);
    expect(restored.length).toBeGreaterThan(6_000);
    expect(new Set(restored.map(({ subject }) => subject.unionId)).size).toBe(64);
    restored.length = 0;
    store.restore = async () => 'saved';
    storeReturns('same');
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
    storeReturns('lost');
    for (let turn = 0; turn < 20; turn += 1) await pass(1);
    expect(new Set(restored.map(({ subject }) => subject.unionId)).size).toBe(130);
    expect(restored).toHaveLength(130);
    expect(most).toBe(64);
    expect(lines()).toEqual([expect.objectContaining({ written: 130 })]);
  });

  test('an app’s read of a token is written too, even if another replica has restored the token as unread', async () => {
    const { clock, empty, renewing, reading, storeReturns, subject, id, stored, loseData } = twoReplicas();
    const read = ({ broker }: typeof reading) => broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now() });
    const isRead = async () => (await stored())?.read;
    await read(renewing);
    const { record } = await renewing.renewInBackground(id);
    await read(reading);
    await eventually(async () => expect(await isRead()).toBe(true));
    loseData();
    storeReturns[0]?.('lost');
    await eventually(async () => expect(await isRead()).toBe(false));
    storeReturns[1]?.('lost');
    await eventually(async () => expect(await isRead()).toBe(true));
    expect((await claimLeases(empty, 1, 1)).nextInMs).toBe(Math.ceil(dueOnceRead(record, PROACTIVE) - clock.now()));
  });

  test('a token that a later login has ended is written as suspect, because nobody may have the later token', async () => {
    const { clock, empty, renewing, reading, storeReturns, subject, id, stored, loseData } = twoReplicas();
    await reading.broker.read({ subject, region: 'CN', sessionIssuedAt: clock.now() });
    const generation = (await stored())?.generation;
    clock.advance(1_000);
    await renewing.renewInBackground(id);
    loseData();
    for (const returns of storeReturns) returns('went_back');
    await eventually(async () => expect(await stored()).toMatchObject({ generation, suspect: true }));
    clock.advance(1);
    expect((await empty.dueQueue.claim(SHARDS)).ids).toEqual([id]);
  });

  test('only what it missed is written if it still has its data', async () => {
    const { pass, restored, inMemory, recordOf, storeReturns, lines } = createWriteBack();
    inMemory.push(recordOf('alice'));
    storeReturns('same');
    await pass(10_000);
    expect(restored).toEqual([]);
    expect(lines()).toEqual([]);
  });
});
