import { describe, expect, test } from 'vitest';
import { createLoginLimits } from '../../../src/broker/login-limits.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { StoreTimeout, systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { accountOf } from '../../../src/token/subject.ts';
import { brokerParts, PHONE_ID as ID, PHONE } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
import { deferred } from '../../support/deferred.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { TestClock } from '../../support/test-clock.ts';

/** Limits of 240 logins per hour, four at once. `answer` is the store's answer to each question. */
function createLimits(answer: () => Promise<number>, perHour = 240) {
  const taken: unknown[][] = [];
  const take = (...args: unknown[]) => {
    taken.push(args);
    return answer();
  };
  const givenBack: unknown[][] = [];
  const giveBack = async (...args: unknown[]) => {
    givenBack.push(args);
    await answer();
  };
  const { logger: log, lines } = captureLog('debug');
  const { observer, told } = recordingObserver();
  const limits = createLoginLimits({
    rateLimiter: { take, giveBack },
    loginsPerHour: perHour,
    loginBurst: 4,
    log,
    observer,
  });
  const admit = (cause: 'new' | 'refused' | 'logout') => limits.admit(ID, cause, new StoreTimeout(systemClock, 30));
  return { limits, admit, taken, givenBack, told, lines };
}

const OF_ACCOUNT = [`logins ${accountOf(ID)}`, 15_000];
const OF_TERMINAL = [`refused ${ID}`, 20_000];

describe('the limit of logins', () => {
  test.each([
    ['a first token: the account', 'new', 240, [[...OF_ACCOUNT, 4]]],
    [
      'a refused token: its terminal too, three at once, then one every 20 s',
      'refused',
      240,
      [
        [...OF_TERMINAL, 3],
        [...OF_ACCOUNT, 4],
      ],
    ],
    ['a first token, but nothing at 0 logins per hour', 'new', 0, []],
    ['a logout, but nothing at 0 logins per hour', 'logout', 0, []],
    ['a refused token, at 0 logins per hour the terminal alone', 'refused', 0, [[...OF_TERMINAL, 3]]],
  ] as const)('is taken and given back for %s', async (_, cause, perHour, permits) => {
    const { limits, admit, taken, givenBack, lines } = createLimits(async () => 0, perHour);
    await admit(cause);
    expect(taken).toEqual(permits);
    await limits.giveBack(ID, cause);
    expect(givenBack).toEqual(permits.map(([name, intervalMs]) => [name, intervalMs]));
    expect(lines()).toEqual([]);
  });

  test.each([
    ['its account', 'new', 240, 14_001, 15, /240 logins/, 'logins'],
    [
      'its terminal, and takes no login of the account then',
      'refused',
      240,
      1,
      1,
      /3 refused.* every 20 s/,
      'refused_tokens',
    ],
    ['its terminal, also at 0 logins per hour', 'refused', 0, 1, 1, /3 refused.* every 20 s/, 'refused_tokens'],
  ] as const)('tells the app after how many seconds, rounded up, it may try again: %s', async (...one) => {
    const [, cause, perHour, waitMs, retryAfter, detail, limit] = one;
    const { admit, taken, told } = createLimits(async () => waitMs, perHour);
    const refusal = { code: 'rate_limited', retryAfter, detail: expect.stringMatching(detail) };
    await expect(admit(cause)).rejects.toMatchObject(refusal);
    expect(taken).toHaveLength(1);
    expect(told('rateLimited')).toEqual([[limit]]);
  });

  const failing = () => Promise.reject(new BrokerError('store_unavailable'));
  const err = { code: 'store_unavailable' };
  test.each([
    ['fails', failing, { msg: 'a limit could not be checked; the login is allowed', err }],
    [
      'answers too late',
      () => deferred<number>().promise,
      { msg: 'a limit was not checked in time; the login is allowed', limit: 'logins' },
    ],
  ])('allows the login, and logs it, if the store %s', async (_, answer, line) => {
    const { admit, told, lines } = createLimits(answer);
    await admit('new');
    expect(lines()).toMatchObject([line]);
    expect(told('rateLimited')).toEqual([]);
  });

  test('stays counted, and the log says so, if the store fails to give it back', async () => {
    const { limits, lines } = createLimits(failing);
    await limits.giveBack(ID, 'new');
    expect(lines()).toMatchObject([{ msg: 'a login or logout that did not take place stays counted', err }]);
  });
});

/** As many refused tokens of a terminal are replaced at once. */
const REFUSED_BURST = 3;

describe('a logout', () => {
  test('takes no permit for a refused token, so as many of them are replaced after it as before', async () => {
    const clock = new TestClock();
    const { broker, accounts } = brokerParts({ clock, perHour: 1_000 });
    const session = { sessionIssuedAt: clock.now() };
    const read = (refused?: string) => broker.read({ subject: PHONE, region: 'CN', ...session, refused });
    for (let logout = 0; logout <= REFUSED_BURST; logout += 1) await accounts.logOut(PHONE, session);
    clock.advance(1);
    let { etag } = await read();
    for (let report = 0; report < REFUSED_BURST; report += 1) {
      const replaced = await read(etag);
      expect(replaced.etag).not.toBe(etag);
      etag = replaced.etag;
    }
    await expect(read(etag)).rejects.toMatchObject({ code: 'rate_limited' });
  });

  test('that was refused gives back the permit of the account, and none for a refused token', async () => {
    const clock = new TestClock();
    const { rateLimiter } = createMemoryStore({ clock, terminalsPerAccount: 20 });
    const { logger: log } = captureLog('debug');
    const { observer } = recordingObserver();
    const limits = createLoginLimits({ rateLimiter, loginsPerHour: 60, loginBurst: 20, log, observer });
    for (let report = 0; report < REFUSED_BURST; report += 1) await limits.admit(ID, 'refused');
    await limits.admit(ID, 'logout');
    await limits.giveBack(ID, 'logout');
    await expect(limits.admit(ID, 'refused')).rejects.toMatchObject({ code: 'rate_limited' });
    for (let login = REFUSED_BURST; login < 20; login += 1) await limits.admit(ID, 'new');
    await expect(limits.admit(ID, 'new')).rejects.toMatchObject({ code: 'rate_limited' });
  });
});
