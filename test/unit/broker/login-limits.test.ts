import { describe, expect, test } from 'vitest';
import { LoginLimits } from '../../../src/broker/login-limits.ts';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { StoreTimeout, systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { accountOf } from '../../../src/token/subject.ts';
import { brokerParts, PHONE_ID as ID, PHONE } from '../../support/broker-parts.ts';
import { captureLog } from '../../support/captured-log.ts';
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
  const limits = new LoginLimits({
    rateLimiter: { take, giveBack },
    loginsPerHour: perHour,
    loginBurst: 4,
    log,
    observer,
  });
  const admit = (cause: 'new' | 'refused' | 'logout') => limits.admit(ID, cause, new StoreTimeout(systemClock, 30));
  return { limits, admit, taken, givenBack, told, lines };
}

describe('the limit of logins', () => {
  test('is a rate per hour for the account, with some logins at once', async () => {
    const { admit, taken, lines } = createLimits(async () => 0);
    await admit('new');
    expect(taken).toEqual([[`logins ${accountOf(ID)}`, 15_000, 4]]);
    expect(lines()).toEqual([]);
  });

  test('is given back for the account alone, and not at all if there is no limit', async () => {
    const { limits, givenBack } = createLimits(async () => 0);
    await limits.giveBack(ID, 'new');
    expect(givenBack).toEqual([[`logins ${accountOf(ID)}`, 15_000]]);
    const unlimited = createLimits(async () => 0, 0);
    await unlimited.limits.giveBack(ID, 'new');
    expect(unlimited.givenBack).toEqual([]);
  });

  test('also limits the terminal if its token was refused: three at once, then one every 20 s', async () => {
    const { admit, taken } = createLimits(async () => 0);
    await admit('refused');
    expect(taken).toEqual([
      [`refused ${ID}`, 20_000, 3],
      [`logins ${accountOf(ID)}`, 15_000, 4],
    ]);
  });

  test('is given back for the terminal too if its token was refused', async () => {
    const { limits, givenBack } = createLimits(async () => 0);
    await limits.giveBack(ID, 'refused');
    expect(givenBack).toEqual([
      [`refused ${ID}`, 20_000],
      [`logins ${accountOf(ID)}`, 15_000],
    ]);
  });

  test('stays counted, and the log says so, if the store fails to give it back', async () => {
    const { limits, lines } = createLimits(() => Promise.reject(new BrokerError('store_unavailable')));
    await limits.giveBack(ID, 'new');
    expect(lines()).toMatchObject([
      { msg: 'a login or logout that did not take place stays counted', err: { code: 'store_unavailable' } },
    ]);
  });

  test('tells the app after how many seconds, rounded up, it may try again', async () => {
    const { admit, told } = createLimits(async () => 14_001);
    const detail = expect.stringContaining('240 logins');
    await expect(admit('new')).rejects.toMatchObject({ code: 'rate_limited', retryAfter: 15, detail });
    expect(told('rateLimited')).toEqual([['logins']]);
  });

  test('takes no login of the account for a refused token that its terminal may not replace', async () => {
    const { admit, taken, told } = createLimits(async () => 1);
    const detail = expect.stringMatching(/3 refused tokens.* every 20 s/);
    await expect(admit('refused')).rejects.toMatchObject({ code: 'rate_limited', retryAfter: 1, detail });
    expect(taken).toHaveLength(1);
    expect(told('rateLimited')).toEqual([['refused_tokens']]);
  });

  test('is off at 0 logins per hour, but a terminal may still not report without end', async () => {
    const { admit, taken, told } = createLimits(async () => 1, 0);
    await admit('new');
    await admit('logout');
    expect(taken).toEqual([]);
    await expect(admit('refused')).rejects.toMatchObject({ code: 'rate_limited' });
    expect(told('rateLimited')).toEqual([['refused_tokens']]);
  });

  test('allows the login, and logs it, if the store fails', async () => {
    const { admit, told, lines } = createLimits(() => Promise.reject(new BrokerError('store_unavailable')));
    await admit('new');
    expect(lines()).toMatchObject([
      { msg: 'a limit could not be checked; the login is allowed', err: { code: 'store_unavailable' } },
    ]);
    expect(told('rateLimited')).toEqual([]);
  });

  test('allows the login, and logs it, if the store answers too late', async () => {
    const { admit, lines } = createLimits(() => new Promise(() => undefined));
    await admit('new');
    expect(lines()).toMatchObject([{ msg: 'a limit was not checked in time; the login is allowed', limit: 'logins' }]);
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
    const limits = new LoginLimits({ rateLimiter, loginsPerHour: 60, loginBurst: 20, log, observer });
    for (let report = 0; report < REFUSED_BURST; report += 1) await limits.admit(ID, 'refused');
    await limits.admit(ID, 'logout');
    await limits.giveBack(ID, 'logout');
    await expect(limits.admit(ID, 'refused')).rejects.toMatchObject({ code: 'rate_limited' });
    for (let login = REFUSED_BURST; login < 20; login += 1) await limits.admit(ID, 'new');
    await expect(limits.admit(ID, 'new')).rejects.toMatchObject({ code: 'rate_limited' });
  });
});
