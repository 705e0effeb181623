import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/token/clock.ts';
import { LoginNotSent } from '../../../src/token/errors.ts';
import type { Place } from '../../../src/token/login-queue.ts';
import { eventually } from '../../support/eventually.ts';
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
    let aheadMs = 0;
    const { vendor, vendorLogin } = await loginAt(
      (response, seen, index) => {
        aheadMs += 2_000;
        // Without the Date header, the login uses the broker's clock.
        response.sendDate = false;
        inTurn(maintenance, maintenance)(response, seen, index);
      },
      {
        clock: { ...hastyClock, now: () => systemClock.now() + aheadMs },
      },
    );
    await vendorLogin.login(REQUEST);
    const each = (name: string) => vendor.seen.map(({ headers }) => String(headers[`x-iotvideo-${name}`]));
    expect(new Set(each('nonce')).size).toBe(3);
    expect(new Set(each('signature')).size).toBe(3);
    const times = each('timestamp').map(Number);
    expect(times[1]).toBeGreaterThanOrEqual((times[0] ?? 0) + 2);
    expect(times[2]).toBeGreaterThanOrEqual((times[1] ?? 0) + 2);
  });

  it('takes a turn for each attempt', async () => {
    let turns = 0;
    const reserve = async (): Promise<Place> => {
      turns += 1;
      return { granted: true, waitMs: 0 };
    };
    const { vendor, vendorLogin } = await loginAt(maintenance, { maxPerSecond: 20, queue: { reserve } });
    await refusalOf(vendorLogin.login(REQUEST));
    expect(turns).toBe(3);
    expect(vendor.seen).toHaveLength(3);
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

describe('more logins than there are connections', () => {
  it('wait for one outside their timeout, so that a healthy vendor loses none of them', async () => {
    let running = 0;
    let most = 0;
    const { vendor, vendorLogin, lines } = await loginAt(
      (response) => {
        running += 1;
        most = Math.max(most, running);
        setTimeout(() => {
          running -= 1;
          response.end(JSON.stringify(SUCCESS));
        }, 400);
      },
      { timeoutMs: 1_500 },
    );
    const logins = Array.from({ length: 400 }, (_, number) =>
      vendorLogin.login({ ...REQUEST, subject: { ...SUBJECT, unionId: `account-${number}` }, budgetMs: 60_000 }),
    );
    const failed = (await Promise.allSettled(logins)).filter(({ status }) => status === 'rejected');
    expect(failed).toHaveLength(0);
    expect(lines).toEqual([]);
    expect(vendor.seen).toHaveLength(400);
    expect(most).toBe(64);
  });
});

describe('a vendor domain that is down', () => {
  it('gets no logins of any country for 5 s, then one trial attempt; other domains are not affected', async () => {
    let answering: Answering = maintenance;
    let probe: ServerResponse | undefined;
    let place: Place = { granted: true, waitMs: 0 };
    let turns = 0;
    const down = await scriptedVendor((response, seen, index) => answering(response, seen, index));
    const up = await scriptedVendor(success);
    const reserve = async () => {
      turns += 1;
      return place;
    };
    const regionUrls = new Map([
      ['CN', down.url],
      ['HK', new URL('/hk/', down.url)],
    ]);
    let passedMs = 0;
    const clock = { ...hastyClock, monotonic: () => systemClock.monotonic() + passedMs };
    const { vendorLogin, lines } = vendorLoginAt(up.url, { regionUrls, clock, maxPerSecond: 20, queue: { reserve } });
    let accounts = 0;
    const ofAnotherAccount = () => ({ ...REQUEST, subject: { ...SUBJECT, unionId: `account-${accounts++}` } });
    const attempt = () => refusalOf(vendorLogin.login(ofAnotherAccount()));
    const crowd = () => Array.from({ length: 30 }, attempt);

    await eventually(async () => expect((await attempt()).vendorCode).toBeUndefined());
    expect(down.seen).toHaveLength(28);
    for (const refusal of await Promise.all(crowd())) {
      expect(refusal).toMatchObject({ code: 'vendor_unavailable', retryAfter: expect.any(Number) });
      expect(refusal.retryAfter).toBeGreaterThan(0);
      expect(refusal.retryAfter).toBeLessThanOrEqual(5);
    }
    expect(await refusalOf(vendorLogin.login({ ...REQUEST, region: 'HK' }))).toMatchObject({
      code: 'vendor_unavailable',
    });
    await vendorLogin.login({ ...REQUEST, region: 'DE' });
    expect([down.seen.length, up.seen.length, turns]).toEqual([28, 1, 29]);

    // A login without a turn is not a trial attempt.
    place = { granted: false, waitMs: 500 };
    passedMs = 3_000;
    expect((await refusalOf(vendorLogin.login(REQUEST))).code).toBe('vendor_unavailable');
    passedMs = 5_000;
    expect((await refusalOf(vendorLogin.login(REQUEST))).code).toBe('vendor_busy');
    expect(down.seen).toHaveLength(28);

    place = { granted: true, waitMs: 0 };
    answering = (response) => {
      probe = response;
    };
    const found = vendorLogin.login(REQUEST);
    await eventually(() => expect(probe).toBeDefined());
    for (const refusal of await Promise.all(crowd())) expect(refusal.code).toBe('vendor_unavailable');
    expect(down.seen).toHaveLength(29);

    answering = success;
    probe?.end(JSON.stringify(SUCCESS));
    await found;
    await Promise.all(Array.from({ length: 30 }, () => vendorLogin.login(REQUEST)));
    expect(down.seen).toHaveLength(59);
    const states = lines.filter(({ obj }) => 'circuitState' in obj);
    expect(states).toEqual(
      ['open', 'closed'].map((circuitState) => ({
        level: 'warn',
        obj: { host: down.url.host, circuitState },
        msg: expect.stringContaining('circuit breaker'),
      })),
    );
  });

  it('is not assumed after a single failure', async () => {
    const { vendor, vendorLogin } = await loginAt(inTurn(reset, reset));
    await refusalOf(vendorLogin.login(REQUEST));
    await vendorLogin.login(REQUEST);
    expect(vendor.seen).toHaveLength(3);
  });
});
