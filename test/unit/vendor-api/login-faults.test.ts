import { describe, expect, it } from 'vitest';
import { LoginNotSent } from '../../../src/token/errors.ts';
import type { Place } from '../../../src/token/login-queue.ts';
import { START_MS } from '../../support/test-clock.ts';
import { hastyClock, loginAt, REQUEST, refusalOf, SKEWED, SUBJECT, vendorLoginAt } from './running-vendor-login.ts';
import { type Answering, DATA, inTurn, json, SUCCESS, scriptedTransport, scriptedVendor } from './scripted-vendor.ts';

const maintenance = json({ code: 10901060, msg: 'maintenance', requestId: 'r-3' });
const reset: Answering = (response) => response.destroy();
const success = json(SUCCESS);

describe('a login with transient faults', () => {
  it.each([
    ['maintenance', [maintenance, maintenance]],
    ['an HTTP error', [json('<html>bad gateway</html>', 502)]],
    ['a reset', [reset]],
    ['a lost answer and maintenance', [reset, maintenance]],
  ])('is retried and gets its token: %s', async (_, answers) => {
    const { vendor, vendorLogin, lines } = await loginAt(inTurn(...answers));
    expect((await vendorLogin.login(REQUEST)).fields).toMatchObject({ accessToken: DATA.accessToken });
    expect(vendor.seen).toHaveLength(answers.length + 1);
    expect(lines).toEqual([]);
  });

  it('is signed again for each attempt: new nonce, current time, new signature', async () => {
    const clock = { ...hastyClock, now: () => START_MS + 2_000 * sent.length };
    const fault = { code: 10901060, msg: 'maintenance' };
    const { sent, transport } = scriptedTransport(fault, fault);
    await vendorLoginAt(new URL('http://vendor.test'), { clock, transport }).vendorLogin.login(REQUEST);
    const each = (name: 'Nonce' | 'Signature') => new Set(sent.map(({ headers }) => headers[`X-IotVideo-${name}`]));
    expect([each('Nonce').size, each('Signature').size]).toEqual([3, 3]);
    const times = sent.map(({ headers }) => Number(headers['X-IotVideo-Timestamp']) - START_MS / 1_000);
    expect(times).toEqual([0, 2, 4]);
  });
});

describe('a login without a turn', () => {
  it.each([
    ['that is denied', { granted: false, waitMs: 1_500 }],
    ['that would come after its budget', { granted: true, waitMs: 20_000 }],
  ])('%s is vendor_busy, and does not count against the vendor', async (_, place) => {
    let given: Place = place;
    const options = { maxPerSecond: 20, queue: { reserve: async () => given } };
    const { vendor, vendorLogin, lines } = await loginAt(success, options);
    for (let time = 0; time < 30; time += 1) {
      expect(await refusalOf(vendorLogin.login(REQUEST))).toMatchObject({ code: 'vendor_busy' });
    }
    expect(vendor.seen).toHaveLength(0);
    given = { granted: true, waitMs: 0 };
    await vendorLogin.login(REQUEST);
    expect(lines).toEqual([]);
  });
});

it('a login that may not be sent any more when its turn comes is not sent, and says nothing about the vendor', async () => {
  let mayBeSent = true;
  const reserve = async (): Promise<Place> => {
    mayBeSent = false;
    return { granted: true, waitMs: 0 };
  };
  const { sent, transport } = scriptedTransport();
  const options = { maxPerSecond: 20, queue: { reserve }, transport };
  const { vendorLogin, lines } = vendorLoginAt(new URL('http://vendor.test'), options);
  await expect(vendorLogin.login({ ...REQUEST, mayBeSent: () => mayBeSent })).rejects.toThrow(LoginNotSent);
  expect(sent).toHaveLength(0);
  expect(vendorLogin.domains()).toMatchObject([{ lastFailure: undefined, failingSince: undefined }]);
  expect(lines).toEqual([]);
  await vendorLogin.login({ ...REQUEST, mayBeSent: () => true });
  expect(sent).toHaveLength(1);
});

describe('a login that was sent, and whose retry is not sent', () => {
  it.each([
    ['fails as its attempt did', maintenance, { code: 'vendor_unavailable', vendorCode: 10901060, isUnsent: false }],
    ['is vendor_busy after a refused timestamp: nothing else was refused', json(SKEWED), { code: 'vendor_busy' }],
  ])('because it finds no place in the queue %s', async (_, answering, expected) => {
    const places: Place[] = [{ granted: true, waitMs: 0 }];
    const reserve = async (): Promise<Place> => places.pop() ?? { granted: false, waitMs: 1_500 };
    const { vendor, vendorLogin, lines } = await loginAt(answering, { maxPerSecond: 20, queue: { reserve } });
    expect(await refusalOf(vendorLogin.login(REQUEST))).toMatchObject(expected);
    const isFailure = expected.code !== 'vendor_busy';
    expect(lines).toMatchObject(isFailure ? [{ level: 'warn', obj: { kind: 'maintenance' } }] : []);
    expect(vendor.seen).toHaveLength(1);
  });

  it('because it finds an open circuit fails as its attempt did', async () => {
    const { vendor, vendorLogin } = await loginAt(maintenance);
    const refusals = await Promise.all(
      Array.from({ length: 30 }, async (_, number) => {
        const subject = { ...SUBJECT, unionId: `account-${number}` };
        return { unionId: subject.unionId, refusal: await refusalOf(vendorLogin.login({ ...REQUEST, subject })) };
      }),
    );
    const attempts = vendor.seen.map(({ body }) => JSON.parse(String(body)).unionId);
    // The circuit has opened before each login had its three attempts.
    expect(attempts.length).toBeLessThan(90);
    for (const { unionId, refusal } of refusals) {
      const wasSent = attempts.includes(unionId);
      expect(refusal).toMatchObject({ vendorCode: wasSent ? 10901060 : undefined, isUnsent: !wasSent });
    }
  });
});

it('a vendor domain that is down gets no logins of any country, and other domains are not affected', async () => {
  const down = await scriptedVendor(maintenance);
  const up = await scriptedVendor(success);
  let turns = 0;
  const reserve = async (): Promise<Place> => {
    turns += 1;
    return { granted: true, waitMs: 0 };
  };
  const regionUrls = new Map([
    ['CN', down.url],
    ['HK', new URL('/hk/', down.url)],
  ]);
  const { vendorLogin } = vendorLoginAt(up.url, { regionUrls, maxPerSecond: 20, queue: { reserve } });
  let accounts = 0;
  const logIn = (region: string) => {
    accounts += 1;
    return vendorLogin.login({ ...REQUEST, region, subject: { ...SUBJECT, unionId: `account-${accounts}` } });
  };
  for (let login = 0; login < 10; login += 1) await refusalOf(logIn('CN'));
  for (const region of ['CN', 'HK']) {
    expect(await refusalOf(logIn(region))).toMatchObject({ code: 'vendor_unavailable', retryAfter: 5, isUnsent: true });
  }
  await logIn('DE');
  expect([down.seen.length, up.seen.length, turns]).toEqual([28, 1, 29]);
});
