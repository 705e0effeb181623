import { describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { type BrokerError, tokensEndedBy } from '../../../src/token/errors.ts';
import { OF_ONE_ACCOUNT } from '../../../src/token/observer.ts';
import { type AccountId, accountId } from '../../../src/token/subject.ts';
import { KNOWN_RESULTS, resultKind } from '../../../src/vendor-api/answer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { hastyClock, loginAt, REQUEST, refusalOf, SKEWED, SUBJECT } from './running-vendor-login.ts';
import { type Answering, inTurn, json, SUCCESS } from './scripted-vendor.ts';

const maintenance = json({ code: 10901060, msg: '', requestId: '' });
const success = json(SUCCESS);
const ACCOUNT = accountId(SUBJECT.unionId);
/** The codes that concern one account. */
const REFUSALS = [...KNOWN_RESULTS].flatMap(([code, kind]) => (OF_ONE_ACCOUNT.includes(kind) ? [code] : []));

describe('a login reports its outcome', () => {
  it.each<readonly [name: string, Answering, outcome: string, code: number | undefined, attempts: number]>([
    ['a success', success, 'success', 0, 1],
    ['a refusal', json({ code: 10902013, msg: '' }), 'account_closed', 10902013, 1],
    ...REFUSALS.map((code) => [`refusal ${code}`, json({ code, msg: '' }), resultKind(code, ''), code, 1] as const),
    ['an unknown code, retried', json({ code: 77, msg: '' }), 'unknown', 77, 3],
    ['an HTTP error, retried', json('<html>', 502), 'outage', undefined, 3],
    ['a success after a retry', inTurn(maintenance), 'success', 0, 2],
  ])('once: %s', async (_, answering, outcome, code, attempts) => {
    const { vendor, vendorLogin, told } = await loginAt(answering);
    const ended = await vendorLogin.login(REQUEST).catch((error: BrokerError) => tokensEndedBy(error.code));
    expect(told('loginEnded')).toEqual([[outcome, code, expect.any(Number), expect.any(Number), ACCOUNT]]);
    expect(told('loginSent')).toHaveLength(attempts);
    expect(vendor.seen).toHaveLength(attempts);
    await new Promise(setImmediate);
    if (outcome === 'account_closed') expect(ended).toBe('account');
    expect(told('accountClosed')).toHaveLength(ended === 'account' ? 1 : 0);
  });

  it('with its duration, and the part of it in which its attempts waited to be sent', async () => {
    const clock = new TestClock();
    clock.advance(1_000);
    const reserve = async () => {
      clock.advance(30);
      return { granted: true, waitMs: 0 };
    };
    const answering: Answering = (...call) => {
      clock.advance(200);
      inTurn(json(SKEWED))(...call);
    };
    const { vendorLogin, told } = await loginAt(answering, { clock, maxPerSecond: 10, queue: { reserve } });
    await vendorLogin.login(REQUEST);
    expect(told('loginEnded')).toEqual([['success', 0, 460, 60, ACCOUNT]]);
  });

  it('also if it got no turn and was not sent', async () => {
    const queue = { reserve: async () => ({ granted: false, waitMs: 1_000 }) };
    const { vendorLogin, told } = await loginAt(success, { maxPerSecond: 10, queue });
    await refusalOf(vendorLogin.login({ ...REQUEST, urgency: 'background' }));
    expect(told('loginEnded')).toEqual([['busy', undefined, expect.any(Number), expect.any(Number), ACCOUNT]]);
    expect(told('budgetDenied')).toEqual([['background']]);
    expect(told('loginSent')).toEqual([]);
  });

  it('and its wait for the login budget', async () => {
    const waits = [0, 30];
    const queue = { reserve: async () => ({ granted: true, waitMs: waits.shift() ?? 0 }) };
    const { vendorLogin, told } = await loginAt(inTurn(maintenance), { maxPerSecond: 10, queue });
    await vendorLogin.login(REQUEST);
    expect(told('budgetWaited')).toEqual([
      ['foreground', 0],
      ['foreground', 30],
    ]);
    expect(told('budgetDenied')).toEqual([]);
  });
});

describe('a closed account', () => {
  const closed = json({ code: 10902013, msg: '' });
  const { rateLimiter: rates } = createMemoryStore({ clock: systemClock, terminalsPerAccount: 20 });

  it('counts once, however often its app asks, and over all replicas', async () => {
    const replicas = await Promise.all([loginAt(closed, { rates }), loginAt(closed, { rates })]);
    for (let round = 0; round < 2; round += 1) {
      for (const { vendorLogin } of replicas) await refusalOf(vendorLogin.login(REQUEST));
    }
    expect(replicas.flatMap(({ told }) => told('accountClosed'))).toEqual([[]]);
    const [one] = replicas;
    await refusalOf(one.vendorLogin.login({ ...REQUEST, subject: { ...SUBJECT, unionId: 'another' } }));
    expect(one.told('accountClosed')).toHaveLength(2);
  });

  it('counts once for each replica while the store does not answer', async () => {
    const take = () => Promise.reject(new Error('no store'));
    const { vendorLogin, told } = await loginAt(closed, { rates: { take } });
    for (let round = 0; round < 2; round += 1) await refusalOf(vendorLogin.login(REQUEST));
    expect(told('accountClosed')).toHaveLength(1);
  });
});

describe('a vendor domain', () => {
  it('has its circuit in its report from the start; with an open circuit, nothing is sent', async () => {
    const { vendor, vendorLogin, told } = await loginAt(maintenance);
    expect(vendorLogin.domains()).toMatchObject([{ circuit: 'closed' }]);
    for (let login = 0; login < 11; login += 1) {
      await refusalOf(vendorLogin.login({ ...REQUEST, subject: { ...SUBJECT, unionId: `account-${login}` } }));
    }
    expect(told('loginEnded').at(-1)).toEqual([
      'circuit_open',
      undefined,
      expect.any(Number),
      expect.any(Number),
      expect.any(String),
    ]);
    expect(told('loginSent')).toHaveLength(vendor.seen.length);
    // A login that was not sent is no news from the domain.
    const failures = vendor.seen.length;
    expect(vendorLogin.domains()).toMatchObject([{ circuit: 'open', failures, failingSince: expect.any(Number) }]);
  });

  it('with an open circuit takes one place in the queue for its trial attempt', async () => {
    let laterMs = 0;
    const clock = { ...hastyClock, monotonic: () => systemClock.monotonic() + laterMs };
    let place = { granted: true, waitMs: 0 };
    const reserved: AccountId[] = [];
    const reserve = async (_pace: unknown, _urgency: unknown, account: AccountId) => {
      reserved.push(account);
      return place;
    };
    const options = { clock, maxPerSecond: 10, queue: { reserve } };
    const { vendor, vendorLogin } = await loginAt(maintenance, options);
    const logIn = (unionId: string) => refusalOf(vendorLogin.login({ ...REQUEST, subject: { ...SUBJECT, unionId } }));
    for (let login = 0; login < 11; login += 1) await logIn(`account-${login}`);
    laterMs += 5_000;
    const [before, sentBefore] = [reserved.length, vendor.seen.length];
    // It finds no place, so the trial attempt is another account's.
    place = { granted: false, waitMs: 100 };
    expect(await logIn('busy')).toMatchObject({ code: 'vendor_busy' });
    place = { granted: true, waitMs: 100 };
    const codes = (await Promise.all(['trial', 'other', 'third'].map(logIn))).map(({ code }) => code);
    expect(codes).toEqual(Array(3).fill('vendor_unavailable'));
    expect(reserved.slice(before)).toEqual(['busy', 'trial'].map(accountId));
    expect(vendor.seen.length - sentBefore).toBe(1);
  });

  it('has its last success and its last failure in its report', async () => {
    const { vendor, vendorLogin } = await loginAt(inTurn(json({ code: 10902013, msg: '' })));
    const { host } = vendor.url;
    const before = { host, circuit: 'closed', clockOffsetMs: 0, lastSuccessAt: undefined, failures: 0 };
    expect(vendorLogin.domains()).toEqual([{ ...before, lastFailure: undefined, failingSince: undefined }]);
    await refusalOf(vendorLogin.login(REQUEST));
    const lastRefusal = { at: expect.any(Number), reason: 'account_closed', vendorCode: 10902013 };
    expect(vendorLogin.domains()).toEqual([{ ...before, lastRefusal, failingSince: undefined }]);
    await vendorLogin.login(REQUEST);
    const lastSuccessAt = expect.closeTo(systemClock.now(), -5);
    expect(vendorLogin.domains()).toEqual([{ ...before, lastSuccessAt, lastRefusal, failingSince: undefined }]);
  });

  it.each([
    ['its app is refused', json({ code: 10007, msg: '' }), 'configuration'],
    ['it fails', json('<html>', 502), 'outage'],
  ])('fails no longer once it refuses one account, after %s', async (_, failing, reason) => {
    let answer = failing;
    const { vendorLogin } = await loginAt((...call) => answer(...call));
    await refusalOf(vendorLogin.login(REQUEST));
    expect(vendorLogin.domains()).toMatchObject([{ failingSince: expect.any(Number), lastFailure: { reason } }]);
    answer = json({ code: 10902013, msg: '' });
    await refusalOf(vendorLogin.login(REQUEST));
    expect(vendorLogin.domains()).toMatchObject([{ failingSince: undefined, failures: 0, lastFailure: { reason } }]);
  });

  it.each([
    ['limits the rate of logins', 10015, 'too_frequent'],
    ['answers with an unknown code', 77, 'unknown'],
  ])('still fails if it only %s', async (_, code, reason) => {
    let answer = json('<html>', 502);
    const { vendorLogin } = await loginAt((...call) => answer(...call));
    await refusalOf(vendorLogin.login(REQUEST));
    answer = json({ code, msg: '' });
    await refusalOf(vendorLogin.login(REQUEST));
    const failing = { failingSince: expect.any(Number), failures: 3, lastFailure: { reason: 'outage' } };
    expect(vendorLogin.domains()).toMatchObject([{ ...failing, lastRefusal: { reason } }]);
  });

  it('has the offset of its clock by the last answer in its report: 0 again when the clocks agree again', async () => {
    const dated = (aheadMs: number) => json(SUCCESS, 200, { Date: new Date(Date.now() + aheadMs).toUTCString() });
    const { vendorLogin } = await loginAt(inTurn(dated(60_000), dated(0)));
    await vendorLogin.login(REQUEST);
    const [domain] = vendorLogin.domains();
    expect(domain?.clockOffsetMs).toBeGreaterThan(55_000);
    await vendorLogin.login(REQUEST);
    expect(vendorLogin.domains()).toMatchObject([{ clockOffsetMs: 0 }]);
  });
});
