import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type CheckSchedule,
  checkQueue,
  SessionCache,
  type SessionCacheOptions,
} from '../../../src/session/session-cache.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Principal, SessionVerifier } from '../../../src/token/principal.ts';
import { type AccountId, accountId } from '../../../src/token/subject.ts';
import { SILENCE } from '../../support/broker-parts.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { START_MS, TestClock } from '../../support/test-clock.ts';

/** Accepts every session until `expiresAt` after `takesMs`, or fails. It records its calls. */
class CountingVerifier implements SessionVerifier {
  calls: string[] = [];
  expiresAt = START_MS + 3_600_000;
  failure: Error | undefined;
  unionId: string | undefined;
  takesMs = 0;

  async verify(session: string): Promise<Principal> {
    const { failure, unionId = `account-of-${session}` } = this;
    this.calls.push(session);
    clock.advance(this.takesMs);
    await setImmediate();
    if (failure) throw failure;
    return { unionId, region: undefined, app: undefined, issuedAt: undefined, expiresAt: this.expiresAt };
  }
}

let clock: TestClock;
let inner: CountingVerifier;
let told: ReturnType<typeof recordingObserver>['told'];

beforeEach(() => {
  clock = new TestClock();
  inner = new CountingVerifier();
});

function cacheWith(options: Partial<SessionCacheOptions> = {}): SessionCache {
  const { observer, ...recorded } = recordingObserver();
  told = recorded.told;
  return new SessionCache(inner, {
    cacheSeconds: 30,
    refusalMs: 2_000,
    schedule: checkQueue(clock),
    isCheckLocal: false,
    maxBytes: 16 * 1_048_576,
    clock,
    observer,
    announcements: SILENCE,
    ...options,
  });
}

/** What the observer was told about the checks. */
const outcomes = () => told('sessionChecked').map(([outcome]) => outcome);

/** Verifies the session `one` at these times, in ms after the start. @returns the number of checks after each */
async function checksAt(cache: SessionCache, times: readonly number[]): Promise<number[]> {
  const checks: number[] = [];
  for (const time of times) {
    clock.moveTo(time);
    await cache.verify('one');
    checks.push(inner.calls.length);
  }
  return checks;
}

describe('an accepted session', () => {
  it('is checked once, and is never mixed up with another one, also of the same start or end', async () => {
    const cache = cacheWith();
    const long = 'x'.repeat(400);
    const sessions = ['one', 'two', `one${long}`, `two${long}`, `${long}one`, `${long}two`];
    for (let time = 0; time < 3; time += 1) {
      for (const session of sessions) expect((await cache.verify(session)).unionId).toBe(`account-of-${session}`);
    }
    expect(inner.calls).toEqual(sessions);
    expect(outcomes()).toEqual([...Array(6).fill('accepted'), ...Array(12).fill('cached')]);
  });

  it('is fresh from the start of the check, however long the check takes', async () => {
    const cache = cacheWith();
    inner.takesMs = 20_000;
    expect(await checksAt(cache, [0, 29_999, 30_000])).toEqual([1, 1, 2]);
  });

  it.each([0, -10_000, -3_600_000, 3_600_000])(
    'is fresh for cacheSeconds, neither longer nor shorter, although the clock is set by %i ms',
    async (jumpMs) => {
      const cache = cacheWith();
      inner.expiresAt = START_MS + 86_400_000;
      expect(await checksAt(cache, [0, 20_000])).toEqual([1, 1]);
      clock.jump(jumpMs);
      expect(await checksAt(cache, [29_999, 30_000, 59_999])).toEqual([1, 2, 2]);
    },
  );

  it.each([0, 5_000])('is not fresh past its own end, by the wall clock, which was set by %i ms', async (jumpMs) => {
    const cache = cacheWith();
    inner.expiresAt = START_MS + 10_000;
    expect(await checksAt(cache, [0])).toEqual([1]);
    clock.jump(jumpMs);
    expect(await checksAt(cache, [9_999 - jumpMs])).toEqual([1]);
    clock.advance(1);
    inner.failure = new BrokerError('session_expired');
    await expect(cache.verify('one')).rejects.toMatchObject({ code: 'session_expired' });
    expect(inner.calls).toHaveLength(2);
  });

  it('needs no promise if its check needs none, and keeps each part of its principal', () => {
    const principal = {
      unionId: 'u-1',
      region: 'CN',
      app: 'ios',
      issuedAt: START_MS,
      expiresAt: 2 * START_MS,
    } satisfies { [Part in keyof Principal]: NonNullable<Principal[Part]> };
    const cache = cacheWith();
    cache.useVerifier({ verify: () => principal });
    for (const _time of [1, 2]) expect(cache.verify('one')).toMatchObject(principal);
  });

  it('is judged by another verifier from its next check on', async () => {
    const cache = cacheWith();
    await cache.verify('one');
    const other = new CountingVerifier();
    cache.useVerifier(other);
    await cache.verify('two');
    await checksAt(cache, [29_999, 30_000]);
    expect([inner.calls, other.calls]).toEqual([['one'], ['two', 'one']]);
  });

  it.each([
    [30, [undefined, accountId('account-of-one')]],
    [0, [undefined, undefined]],
  ])('with cacheSeconds %i counts as known at its next check, if it is cached', async (cacheSeconds, expected) => {
    const known: (AccountId | undefined)[] = [];
    const schedule: CheckSchedule = {
      run(check, account) {
        known.push(account);
        return check();
      },
    };
    expect(await checksAt(cacheWith({ cacheSeconds, schedule }), [0, 30_000])).toEqual([1, 2]);
    expect(known).toEqual(expected);
  });
});

describe('a check in flight', () => {
  it('is shared by all callers with the same session, and not with others', async () => {
    const cache = cacheWith({ cacheSeconds: 0 });
    const sessions = Array.from({ length: 50 }, (_, caller) => (caller % 2 === 0 ? 'one' : 'two'));
    const principals = await Promise.all(sessions.map((session) => cache.verify(session)));
    expect(principals.map(({ unionId }) => unionId)).toEqual(sessions.map((session) => `account-of-${session}`));
    expect(inner.calls).toEqual(['one', 'two']);
    expect(outcomes()).toEqual(['accepted', 'accepted']);
    await cache.verify('one');
    expect(inner.calls).toHaveLength(3);
  });

  it('fails for all callers that share it, and the failure is not cached', async () => {
    const cache = cacheWith();
    inner.failure = new BrokerError('session_check_unavailable');
    const settled = await Promise.allSettled(Array.from({ length: 50 }, () => cache.verify('one')));
    expect(settled.every(({ status }) => status === 'rejected')).toBe(true);
    expect(inner.calls).toHaveLength(1);
    expect(outcomes()).toEqual(['session_check_unavailable']);

    inner.failure = undefined;
    expect((await cache.verify('one')).unionId).toBe('account-of-one');
    expect(inner.calls).toHaveLength(2);
  });
});

describe('a session that is to be forgotten', () => {
  const account = accountId('account-of-somebody');
  const unavailable = new BrokerError('session_check_unavailable');

  it('is checked again at its next request, and so is each other one of its account only', async () => {
    const cache = cacheWith();
    await cache.verify('foreign');
    inner.unionId = 'account-of-somebody';
    for (const session of ['one', 'two']) await cache.verify(session);
    cache.forget(account);
    for (const session of ['foreign', 'one', 'two', 'one']) await cache.verify(session);
    expect(inner.calls.slice(3)).toEqual(['one', 'two']);
  });

  it('is checked again, for all callers, if it was being checked: the answer may be older', async () => {
    const cache = cacheWith();
    inner.unionId = 'account-of-somebody';
    const before = cache.verify('one');
    cache.forget(account);
    inner.failure = new BrokerError('session_invalid');
    const answers = [before, cache.verify('one')];
    for (const answer of answers) await expect(answer).rejects.toMatchObject({ code: 'session_invalid' });
    expect(inner.calls).toEqual(['one', 'one']);
    expect(outcomes()).toEqual(['session_invalid']);
  });

  it('is not accepted as a stale one, also if a check that ran has failed', async () => {
    const cache = cacheWith();
    inner.unionId = 'account-of-somebody';
    await cache.verify('one');
    clock.moveTo(30_000);
    inner.failure = unavailable;
    const stale = cache.verify('one');
    cache.forget(account);
    for (const answer of [stale, cache.verify('one')]) await expect(answer).rejects.toBe(unavailable);
    await expect(cache.verify('one')).rejects.toBe(unavailable);
  });

  it('may be any, if announcements were missed: each is checked again, or accepted as a stale one', async () => {
    let completeSince: number | undefined = clock.monotonic();
    const cache = cacheWith({ announcements: { completeSince: () => completeSince } });
    await checksAt(cache, [0, 1]);
    completeSince = undefined;
    expect(await checksAt(cache, [5_000])).toEqual([1]);
    completeSince = clock.monotonic();
    inner.failure = unavailable;
    expect(await checksAt(cache, [5_001, 5_002, 7_002])).toEqual([2, 2, 3]);
    inner.failure = undefined;
    expect(await checksAt(cache, [9_002, 9_003])).toEqual([4, 4]);
  });
});

describe('a refused session', () => {
  it.each([
    ['session_invalid', {}, 0],
    ['session_expired', {}, 0],
    ['session_invalid', { sessionFault: 'malformed' }, -3_600_000],
  ] as const)('is refused without a check for refusalMs: %s, %j, with the clock set by %i ms', async (...row) => {
    const [code, more, jumpMs] = row;
    const cache = cacheWith();
    inner.failure = new BrokerError(code, more);
    for (const time of [0, 1, 1_999]) {
      clock.moveTo(time);
      await expect(cache.verify('one')).rejects.toBe(inner.failure);
      if (time === 0) clock.jump(jumpMs);
    }
    expect(inner.calls).toHaveLength(1);
    expect(outcomes()).toEqual(Array(3).fill('sessionFault' in more ? 'malformed' : code));
    inner.failure = undefined;
    expect((await cache.verify('two')).unionId).toBe('account-of-two');
    clock.moveTo(2_000);
    expect((await cache.verify('one')).unionId).toBe('account-of-one');
    expect(inner.calls).toEqual(['one', 'two', 'one']);
  });

  it('is refused from the start of the check, however long the check takes', async () => {
    const cache = cacheWith();
    inner.takesMs = 1_500;
    inner.failure = new BrokerError('session_invalid');
    await expect(cache.verify('one')).rejects.toMatchObject({ code: 'session_invalid' });
    clock.moveTo(2_000);
    await expect(cache.verify('one')).rejects.toMatchObject({ code: 'session_invalid' });
    expect(inner.calls).toHaveLength(2);
  });

  it('never displaces an accepted session, however many are refused', async () => {
    const cache = cacheWith({ maxBytes: 2_000, refusalMs: 60_000 });
    await cache.verify('one');
    inner.failure = new BrokerError('session_invalid');
    for (let number = 0; number < 5_000; number += 1) {
      await expect(cache.verify(`refused-${number}`)).rejects.toBe(inner.failure);
    }
    await cache.verify('one');
    expect(inner.calls).toHaveLength(5_001);
    // The refused sessions do not all fit into the cache either.
    await expect(cache.verify('refused-0')).rejects.toBe(inner.failure);
    expect(inner.calls).toHaveLength(5_002);
  });
});

describe('while sessions cannot be checked', () => {
  const unavailable = new BrokerError('session_check_unavailable');
  const NEVER = START_MS + 3_600_000;

  /** Verifies the session every 100 ms. @returns the times of the checks, in ms after the session was accepted */
  async function checkTimes(cache: SessionCache, untilMs: number): Promise<number[]> {
    const times: number[] = [];
    for (let time = 0; time < untilMs; time += 100) {
      clock.moveTo(time);
      const before = inner.calls.length;
      expect((await cache.verify('one')).unionId).toBe('account-of-one');
      if (inner.calls.length > before) times.push(time);
    }
    return times;
  }

  it.each([0, -3_600_000])(
    'a stale session is accepted for another cacheSeconds, and checked every 2 s, with the clock set by %i ms',
    async (jumpMs) => {
      const cache = cacheWith({ cacheSeconds: 5 });
      await cache.verify('one');
      inner.failure = unavailable;
      clock.jump(jumpMs);
      expect(await checkTimes(cache, 10_000)).toEqual([5_000, 7_000, 9_000]);
      expect(outcomes().filter((outcome) => outcome !== 'cached')).toEqual(['accepted', 'kept', 'kept', 'kept']);
      clock.moveTo(10_000);
      for (const _attempt of [1, 2, 3]) await expect(cache.verify('one')).rejects.toBe(unavailable);
      expect(inner.calls).toHaveLength(7);
      expect(outcomes().at(-1)).toBe('session_check_unavailable');
    },
  );

  it.each<[string, number, Partial<CountingVerifier>, number[], number]>([
    ['if the request comes in time, however long the check takes', 2, { takesMs: 3_000 }, [0], 3_999],
    ['not past its own end', 30, { expiresAt: START_MS + 40_000 }, [0], 39_999],
    ['after a new acceptance for both times again', 30, {}, [0, 50_000], 109_999],
    ['never with cacheSeconds 0', 0, {}, [0], -1],
  ])('a stale session is accepted %s', async (_, cacheSeconds, { takesMs = 0, expiresAt = NEVER }, times, lastMs) => {
    const cache = cacheWith({ cacheSeconds });
    inner.expiresAt = expiresAt;
    await checksAt(cache, times);
    Object.assign(inner, { failure: unavailable, takesMs });
    if (lastMs >= 0) {
      clock.moveTo(lastMs);
      expect((await cache.verify('one')).unionId).toBe('account-of-one');
      expect(outcomes().at(-1)).toBe('kept');
    }
    clock.moveTo(lastMs + 1);
    await expect(cache.verify('one')).rejects.toBe(unavailable);
  });

  it('a stale session is accepted, also if newer sessions of its account displace it during the check', async () => {
    const cache = cacheWith();
    inner.unionId = 'account-of-somebody';
    await cache.verify('one');
    clock.moveTo(30_000);
    let giveUp: () => void = () => undefined;
    cache.useVerifier({ verify: () => new Promise((_, reject) => (giveUp = () => reject(unavailable))) });
    const checked = cache.verify('one');
    cache.useVerifier(inner);
    for (let newer = 0; newer < 50; newer += 1) await cache.verify(`newer ${newer}`);
    giveUp();
    expect((await checked).unionId).toBe('account-of-somebody');
    expect(outcomes().at(-1)).toBe('kept');
  });

  it('a request that comes too late is not accepted with an earlier one whose check it shares', async () => {
    const cache = cacheWith({ cacheSeconds: 2 });
    await cache.verify('one');
    inner.failure = unavailable;
    clock.moveTo(3_999);
    const inTime = cache.verify('one');
    clock.moveTo(4_000);
    const tooLate = cache.verify('one');
    expect(await Promise.allSettled([inTime, tooLate])).toMatchObject([
      { value: { unionId: 'account-of-one' } },
      { reason: unavailable },
    ]);
    expect(inner.calls).toHaveLength(2);
  });

  it('a refusal ends the use of a stale session at once', async () => {
    const cache = cacheWith({ refusalMs: 0 });
    await cache.verify('one');
    inner.failure = unavailable;
    clock.moveTo(30_000);
    await cache.verify('one');
    inner.failure = new BrokerError('session_invalid');
    clock.moveTo(32_000);
    await expect(cache.verify('one')).rejects.toMatchObject({ code: 'session_invalid' });
    inner.failure = unavailable;
    await expect(cache.verify('one')).rejects.toBe(unavailable);
  });

  it('any other failure is thrown, and is not a refusal that is repeated', async () => {
    const cache = cacheWith();
    await cache.verify('one');
    clock.moveTo(30_000);
    inner.failure = new Error('a bug');
    await expect(cache.verify('one')).rejects.toBe(inner.failure);
    inner.failure = undefined;
    expect((await cache.verify('one')).unionId).toBe('account-of-one');
    expect(inner.calls).toHaveLength(3);
  });
});

describe('the cache is bounded', () => {
  async function checkedAgain(cache: SessionCache, sessions: string[]): Promise<number> {
    for (const session of sessions) await cache.verify(session);
    const before = inner.calls.length;
    // Newest first, so that a new check does not displace a session that is still to be verified.
    for (const session of sessions.toReversed()) await cache.verify(session);
    return inner.calls.length - before;
  }

  it('by 10,000 entries: the least recently used session goes first', async () => {
    const sessions = Array.from({ length: 10_050 }, (_, index) => `session-${index}`);
    expect(await checkedAgain(cacheWith(), sessions)).toBe(50);
  });

  it('by sessions of one account: it displaces its own oldest session, and no session of another account', async () => {
    const sessions = Array.from({ length: 60 }, (_, index) => `session-${index}`);
    const cache = cacheWith();
    await cache.verify('one');
    inner.unionId = 'account-of-somebody';
    expect(await checkedAgain(cache, sessions)).toBe(10);
    expect(inner.calls.slice(-10)).toEqual(sessions.slice(0, 10).toReversed());
    const before = inner.calls.length;
    await cache.verify('one');
    expect(inner.calls).toHaveLength(before);
  });

  it('by sessions of one account, although it also has one that is larger than the cache', async () => {
    const cache = cacheWith({ maxBytes: 100_000 });
    inner.unionId = 'account-of-somebody';
    await cache.verify('x'.repeat(100_000));
    const sessions = Array.from({ length: 60 }, (_, index) => `session-${index}`);
    expect(await checkedAgain(cache, sessions)).toBe(10);
  });

  it('by sessions of the account that it belongs to now', async () => {
    const cache = cacheWith({ cacheSeconds: 1 });
    const shared = Array.from({ length: 30 }, (_, index) => `shared-${index}`);
    for (const unionId of ['before', 'after', 'before', 'after']) {
      clock.advance(1_000);
      inner.unionId = unionId;
      for (const session of shared) await cache.verify(session);
    }
    const before = inner.calls.length;
    for (const session of shared) expect((await cache.verify(session)).unionId).toBe('after');
    expect(inner.calls).toHaveLength(before);
  });

  it('by bytes', async () => {
    const sessions = Array.from({ length: 20 }, (_, index) => `${index}`.padStart(2, '0').padEnd(8_192, 'x'));
    expect(await checkedAgain(cacheWith({ maxBytes: 10 * 9_000 }), sessions)).toBe(10);
  });
});
