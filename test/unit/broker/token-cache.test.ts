import { LRUCache } from 'lru-cache';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { recordOf } from '../../../src/broker/cached-tokens.ts';
import { TokenCache } from '../../../src/broker/token-cache.ts';
import type { Announcement } from '../../../src/token/ports.ts';
import type { TokenRecord } from '../../../src/token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId, subjectId } from '../../../src/token/subject.ts';
import { PHONE_ID as ID, PROACTIVE, recordOfOther, PHONE as SUBJECT } from '../../support/broker-parts.ts';
import { TestClock } from '../../support/test-clock.ts';

const logout = (id: SubjectId | AccountId, generation: number) => ({ id, how: 'loggedout', generation });

function createCache(cacheMaxBytes = 2 ** 20) {
  const clock = new TestClock();
  const listeners: ((announcement: Announcement) => void)[] = [];
  const forgotten: AccountId[] = [];
  const feed = { completeSince: clock.monotonic() as number | undefined };
  const cache = new TokenCache({
    clock,
    cacheMaxBytes,
    announcements: { subscribe: (listener) => void listeners.push(listener), completeSince: () => feed.completeSince },
    policy: PROACTIVE,
    sessions: { forget: (account) => void forgotten.push(account) },
  });
  const record = (generation: number, subject = SUBJECT, read = false): TokenRecord => {
    const token = { fields: { accessToken: `${generation}` }, issuedAt: clock.now(), expiresAt: clock.now() + 600_000 };
    return recordOfOther(generation, { subject, token, read });
  };
  const announce = (kind: Announcement['kind'], generation: number, id = ID) => {
    const about =
      kind === 'erased' || kind === 'loggedout' ? { account: accountOf(id) } : { id, code: 'vendor_timeout' };
    for (const listener of listeners) listener({ kind, generation, ...about } as Announcement);
  };
  /** Adds a token that the store has just confirmed. */
  const put = (token: TokenRecord | number) =>
    cache.put(typeof token === 'number' ? record(token) : token, {
      checkedAt: clock.monotonic(),
      sessionsEndedAt: undefined,
    });
  const renew = (generation: number, checkedAt = clock.monotonic()) => cache.renew(record(generation), ID, checkedAt);
  const lose = () => {
    feed.completeSince = clock.monotonic();
  };
  const fresh = (id = ID) => cache.getFresh(id, clock.monotonic());
  /** Whether memory has the token, and would serve it without asking the store. */
  const state = (id = ID) => {
    const known = cache.tokens.find(id);
    return known ? `${fresh(id) ? 'fresh' : 'stale'} ${known.generation}` : 'none';
  };
  function* records(checkedUntil = Number.POSITIVE_INFINITY): Generator<[SubjectId, TokenRecord]> {
    for (const known of cache.tokens.confirmed(checkedUntil, clock.now())) yield [known.id, recordOf(known)];
  }
  return { cache, clock, forgotten, record, announce, put, renew, lose, fresh, state, feed, records };
}

describe('the token cache', () => {
  test.each([0, -10_000, -3_600_000, 3_600_000])(
    'treats an entry as fresh for one minute while announcements arrive, and for two seconds otherwise, although the clock is set by %i ms',
    (jumpMs) => {
      for (const [isComplete, freshMs] of [
        [true, 60_000],
        [false, 2_000],
      ] as const) {
        const { clock, put, fresh, feed } = createCache();
        if (!isComplete) feed.completeSince = undefined;
        put(1);
        clock.jump(jumpMs);
        clock.advance(freshMs - 1);
        expect(fresh()).toBeDefined();
        clock.advance(1);
        expect(fresh()).toBeUndefined();
      }
    },
  );

  test.each<[string, (parts: Parts) => unknown, number | undefined]>([
    ['serves its own token', () => undefined, 1],
    ['serves no token that the other one is not later than', ({ put }) => put(2), undefined],
    ['serves no token that was logged out', ({ announce }) => announce('removed', 1), undefined],
    ['serves no token that may have been logged out', ({ clock, lose }) => [clock.advance(1), lose()], undefined],
  ])('%s beside one that it cannot decrypt', (_, change, generation) => {
    const parts = createCache();
    parts.put(1);
    parts.announce('saved', 2);
    change(parts);
    expect(parts.cache.ownBeside(ID, 2)?.generation).toBe(generation);
  });

  type Parts = ReturnType<typeof createCache>;
  test.each<[string, (parts: Parts) => unknown, string]>([
    ['a newer one is announced', ({ put, announce }) => [put(1), announce('saved', 2)], 'stale 1'],
    ['it is announced itself', ({ put, announce }) => [put(2), announce('saved', 2)], 'fresh 2'],
    ['a login fails', ({ put, announce }) => [put(2), announce('failed', 3)], 'fresh 2'],
    ['it is logged out', ({ put, announce }) => [put(1), announce('removed', 5)], 'none'],
    ['its logout is older', ({ put, announce }) => [put(6), announce('removed', 5)], 'fresh 6'],
    ['it is read after its logout', ({ put, announce }) => [announce('removed', 5), put(1)], 'none'],
    ['it is read after an older logout', ({ put, announce }) => [announce('removed', 5), put(6)], 'fresh 6'],
    ['it is erased', ({ put, announce }) => [put(4), announce('erased', 4)], 'none'],
    ['its erasure is older', ({ put, announce }) => [put(6), announce('erased', 5)], 'fresh 6'],
    ['it is read after its erasure', ({ put, announce }) => [announce('erased', 5), put(4)], 'none'],
    ['it is read after a newer one was announced', ({ put, announce }) => [announce('saved', 5), put(4)], 'none'],
    ['it is read after it was announced', ({ put, announce }) => [announce('saved', 5), put(5)], 'fresh 5'],
    ['an older one is read', ({ put }) => [put(2), put(1)], 'fresh 2'],
    ['it is renewed, and no app has read it here', ({ renew }) => renew(1), 'none'],
    [
      'it is renewed and confirmed',
      ({ put, clock, renew }) => [put(1), clock.advance(59_999), renew(2), clock.advance(59_999)],
      'fresh 2',
    ],
    [
      'the store has not confirmed its renewal',
      ({ put, renew }) => [put(1), renew(2, Number.NEGATIVE_INFINITY)],
      'stale 2',
    ],
    ['announcements were lost after it', ({ put, clock, lose }) => [put(1), clock.advance(10_000), lose()], 'stale 1'],
    ['announcements were lost before it', ({ put, clock, lose }) => [lose(), put(1), clock.advance(10_000)], 'fresh 1'],
    [
      'the clock is set back before announcements are lost',
      ({ put, clock, lose }) => [put(1), clock.jump(-10_000), clock.advance(2_000), lose()],
      'stale 1',
    ],
  ])('says of a token, if %s, that it is $2', (_, steps, expected) => {
    const parts = createCache();
    steps(parts);
    expect(parts.state()).toBe(expected);
  });

  test('keeps what the store says after an announcement, and not what it said before', () => {
    const { cache, clock, record, put, fresh, announce } = createCache();
    clock.advance(1);
    const askedBefore = clock.monotonic();
    for (const kind of ['saved', 'removed'] as const) announce(kind, 5);
    announce('erased', 5);
    cache.put(record(4), { checkedAt: askedBefore, sessionsEndedAt: undefined });
    expect(cache.tokens.find(ID)).toBeUndefined();
    clock.advance(1);
    put(4);
    expect(fresh()).toMatchObject({ sessionsEndedAt: undefined });
  });

  test.each([
    ['the newer token of memory', 5, 'of memory'],
    ['the token of the store, if memory has another one of the same login', 4, 'of the store'],
    ['the token of the store, if memory has an older one', 3, 'of the store'],
    ['the token of the store, if memory has none', undefined, 'of the store'],
  ])('answers a late read, which finds a token that was renewed since, with %s', (_, generation, expected) => {
    const { cache, clock, record, announce } = createCache();
    const named = (number: number, accessToken: string) => {
      const { token, ...rest } = record(number);
      return { ...rest, token: { ...token, fields: { accessToken } } };
    };
    const facts = { checkedAt: clock.monotonic(), sessionsEndedAt: undefined };
    if (generation) cache.put(named(generation, 'of memory'), facts);
    announce('saved', 6);
    expect(JSON.parse(cache.put(named(4, 'of the store'), facts).body)).toEqual({ accessToken: expected });
    expect(cache.tokens.find(ID)?.generation).toBe(generation);
  });

  test('knows the latest erasure, whether the store or an announcement told it', () => {
    const { cache, clock, record, put, announce } = createCache();
    expect(put(1).sessionsEndedAt).toBeUndefined();
    expect(cache.put(record(2), { checkedAt: clock.monotonic(), sessionsEndedAt: 5 }).sessionsEndedAt).toBe(5);
    expect(cache.sessionsEndedAt(ID)).toBe(5);
    announce('erased', 7);
    expect(cache.put(record(8), { checkedAt: clock.monotonic(), sessionsEndedAt: 5 }).sessionsEndedAt).toBe(7);
    expect(cache.put(record(9), { checkedAt: clock.monotonic(), sessionsEndedAt: 10 }).sessionsEndedAt).toBe(10);
  });

  test('stays within its memory limit, and keeps the tokens that came or were read last', () => {
    const { cache, record, put, fresh, records } = createCache(100_000);
    const subjects = Array.from({ length: 400 }, (_, number) => ({ ...SUBJECT, unionId: `account-${number}` }));
    put(1);
    for (const subject of subjects) {
      put(record(1, subject));
      expect(fresh()).toBeDefined();
      expect(cache.tokens.bytes).toBeLessThanOrEqual(100_000);
    }
    const cached = new Set([...records()].map(([, { subject }]) => subject.unionId));
    expect(cached.size).toBe(cache.tokens.size);
    expect(cached.size).toBeGreaterThan(80);
    expect(subjects.slice(-50).every(({ unionId }) => cached.has(unionId))).toBe(true);
  });

  test('takes no more memory for what another replica has renewed, removed or erased', () => {
    const { cache, record, put, fresh, announce } = createCache();
    const tablet = { ...SUBJECT, uniqueId: 'tablet' };
    for (const subject of [SUBJECT, tablet]) put(record(1, subject, true));
    const { bytes } = cache.tokens;
    announce('saved', 2);
    expect(fresh()).toBeUndefined();
    expect([cache.tokens.size, cache.tokens.bytes]).toEqual([2, bytes]);
    announce('removed', 1, subjectId(tablet));
    expect(cache.tokens.size).toBe(1);
    expect(cache.tokens.bytes).toBeLessThan(bytes);
    announce('erased', 2);
    expect([cache.tokens.size, cache.tokens.bytes]).toEqual([0, 0]);
  });

  test('says of a renewed token that no app has read it, and keeps the erasure', () => {
    const { cache, clock, record, fresh, records } = createCache();
    cache.put(record(1, SUBJECT, true), { checkedAt: clock.monotonic(), sessionsEndedAt: 5 });
    cache.renew(record(2), ID, clock.monotonic());
    expect([...records()].map(([, { generation, read }]) => [generation, read])).toEqual([[2, false]]);
    expect(fresh()).toMatchObject({ read: false, sessionsEndedAt: 5 });
  });
});

describe('a token that the store calls suspect', () => {
  test('is asked for at once, and replaces the same token that was not suspect', () => {
    const { cache, clock, record, put, fresh, announce } = createCache();
    put(2);
    announce('suspected', 1);
    expect(fresh()).toBeDefined();
    announce('suspected', 2);
    expect(fresh()).toBeUndefined();
    expect(cache.tokens.find(ID)).toMatchObject({ generation: 2, suspect: false });
    const suspected = { ...record(2), suspect: true };
    const entry = put(suspected);
    expect(entry.suspect).toBe(true);
    expect(entry.renewFrom).toBeLessThanOrEqual(clock.now());
    expect(fresh()).toMatchObject({ suspect: true });
  });
});

describe('the logouts and erasures that a replica remembers', () => {
  test('are the last ones, whether announced or made here; a stored token is none', () => {
    const { cache, announce } = createCache();
    const [tablet, bob] = [
      subjectId({ ...SUBJECT, uniqueId: 'tablet' }),
      accountOf(subjectId({ ...SUBJECT, unionId: 'bob' })),
    ];
    expect([cache.outdatedUntil(ID), cache.newestKnown(ID), [...cache.removals()]]).toEqual([0, 0, []]);
    announce('saved', 9);
    expect([cache.outdatedUntil(ID), cache.newestKnown(ID), [...cache.removals()]]).toEqual([0, 9, []]);
    announce('removed', 5);
    announce('removed', 3);
    cache.loggedOut(tablet, 6);
    cache.erased(bob, 7);
    expect([cache.outdatedUntil(ID), cache.newestKnown(ID)]).toEqual([5, 9]);
    cache.loggedOut(bob, 8);
    const ofBob = { id: bob, how: 'erased', generation: 7 };
    expect([...cache.removals()]).toEqual([ofBob, logout(bob, 8), logout(ID, 5), logout(tablet, 6)]);
    announce('erased', 12);
    expect([cache.outdatedUntil(ID), cache.newestKnown(ID), cache.outdatedUntil(tablet)]).toEqual([12, 12, 12]);
  });

  test('make this replica forget the sessions of the account, also if only the store tells of them', () => {
    const { cache, forgotten, announce } = createCache();
    const account = accountOf(ID);
    for (const kind of ['saved', 'suspected'] as const) announce(kind, 1);
    expect(forgotten).toEqual([]);
    for (const kind of ['removed', 'erased', 'loggedout'] as const) announce(kind, 5);
    expect(forgotten.splice(0)).toEqual([account, account, account]);
    cache.learnEnds(ID, { record: undefined, erasedAt: 5, loggedOutAt: 5 });
    expect(forgotten).toEqual([]);
    cache.learnEnds(ID, { record: undefined, erasedAt: 5, loggedOutAt: 6 });
    cache.learnEnds(ID, { record: undefined, erasedAt: 7, loggedOutAt: 6 });
    expect(forgotten).toEqual([account, account]);
    expect([cache.sessionsEndedAt(ID), cache.erasedAt(ID)]).toEqual([7, 7]);
  });

  test('are 50,000, as the announcements of tokens are', () => {
    const { cache, announce } = createCache();
    const ids = Array.from({ length: 50_001 }, (_, number) => subjectId({ ...SUBJECT, unionId: `${number}` }));
    const [first, second] = ids as [SubjectId, SubjectId, ...SubjectId[]];
    for (const id of ids) announce('saved', 1, id);
    expect([first, second].map((id) => cache.newestKnown(id))).toEqual([0, 1]);
    for (const id of ids) cache.loggedOut(id, 2);
    expect([first, second].map((id) => cache.outdatedUntil(id))).toEqual([0, 2]);
  });

  test('are lost if the store was asked after them, and has an older token or no such erasure', () => {
    const { cache, clock, record, announce } = createCache();
    const account = accountOf(ID);
    const erasure = { id: account, how: 'erased', generation: 4 };
    const askedBefore = clock.monotonic();
    announce('removed', 5);
    announce('erased', 4);
    const lost = (generation: number | undefined, erasedAt: number | undefined, askedAt = clock.monotonic()) =>
      cache.lostRemovals(ID, { record: generation === undefined ? undefined : record(generation), erasedAt }, askedAt);
    expect(lost(5, undefined, askedBefore)).toEqual([]);
    // In the same millisecond, nobody knows which was first.
    expect(lost(5, undefined)).toEqual([]);
    clock.advance(1);
    expect(lost(undefined, 4)).toEqual([]);
    expect(lost(6, 4)).toEqual([]);
    expect(lost(5, 4)).toEqual([logout(ID, 5)]);
    expect(lost(6, 3)).toEqual([erasure]);
    expect(lost(6, 7)).toEqual([]);
    expect(lost(1, undefined)).toEqual([logout(ID, 5), erasure]);
  });

  test('are lost although the clock was set back after them', () => {
    const { cache, clock, record, announce } = createCache();
    announce('removed', 5);
    clock.jump(-3_600_000);
    clock.advance(1);
    expect(cache.lostRemovals(ID, { record: record(5), erasedAt: undefined }, clock.monotonic())).toEqual([
      logout(ID, 5),
    ]);
  });
});

describe('an erasure', () => {
  afterEach(() => vi.restoreAllMocks());

  test('looks at its own account only, however many others are in memory', async () => {
    const { cache, record, put, announce } = createCache(2 ** 24);
    for (let number = 0; number < 1_000; number += 1) {
      put(record(1, { ...SUBJECT, unionId: `account-${number}` }, number % 2 > 0));
    }
    for (const uniqueId of ['one', 'two', 'three']) put(record(1, { ...SUBJECT, uniqueId }, true));
    const spiesOn = <T extends object>(prototype: T, names: readonly (keyof T)[]) =>
      names.map((name) => vi.spyOn(prototype as Record<PropertyKey, () => void>, name));
    const walks = [
      ...spiesOn(LRUCache.prototype, ['keys', 'values', 'entries', 'forEach', 'find', 'dump']),
      ...spiesOn(Map.prototype, ['keys', 'values', 'entries', 'forEach', Symbol.iterator]),
    ];
    const lookups = spiesOn(Map.prototype, ['get']);
    const lists = spiesOn(Array.prototype, ['filter', 'find', 'findIndex', 'map', 'forEach', 'some']);
    announce('erased', 5);
    // First, because what follows walks through lists too.
    const walkedLists = lists.flatMap(({ mock }) => [...mock.contexts] as unknown as unknown[][]);
    const [walked, looked] = [walks, lookups].map((spies) =>
      spies.reduce((sum, { mock }) => sum + mock.calls.length, 0),
    );
    vi.restoreAllMocks();
    expect(walked).toBe(0);
    expect(looked).toBeLessThan(10);
    expect(Math.max(...walkedLists.map(({ length }) => length))).toBe(3);
    expect(cache.tokens.size).toBe(1_000);
  });
});
