import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import { probeVendor } from '../../../src/vendor-api/exchange.ts';
import { faultOf, IOS, SKEWED, SUBJECT, vendorClient } from './running-vendor-login.ts';
import { type Answering, DATA, inTurn, json, SUCCESS, scriptedVendor } from './scripted-vendor.ts';

/** The broker's clock stands still, except where an answer moves it. */
const NOW = 1_800_000_000_700;

/** The `Date` header of a vendor whose clock is `skewMs` ahead. */
const dated = (skewMs: number) => ({ Date: new Date(NOW + skewMs).toUTCString() });

async function probeOf(answering: Answering, { timeoutMs = 10_000, clock = clockAt(() => NOW) } = {}) {
  const { url, seen } = await scriptedVendor(answering);
  const login = { domain: url, app: IOS, subject: SUBJECT, region: 'CN' };
  return { seen, exchange: probeVendor(login, { transport: vendorClient({ clock }), timeoutMs, clock }) };
}

function clockAt(now: () => number): Clock {
  return { ...systemClock, now, monotonic: () => now() - NOW };
}

describe('a probe of the vendor', () => {
  it('sends one signed login, and returns the token of a success', async () => {
    const { exchange, seen } = await probeOf(json(SUCCESS, 200, dated(0)));
    expect(await exchange).toEqual({
      code: 0,
      kind: 'success',
      reason: undefined,
      roundTripMs: 0,
      offsetMs: 0,
      facts: { httpStatus: 200, retryAfter: undefined, vendorCode: 0, vendorRequestId: 'r-1' },
      token: {
        fields: { ...DATA, expireTime: String(Math.floor(NOW / 1_000) + 3_600), expend: DATA.expand },
        issuedAt: NOW,
        expiresAt: NOW + 3_600_000,
      },
    });
    expect(seen).toHaveLength(1);
    expect(seen[0]?.headers['x-iotvideo-timestamp']).toBe('1800000000');
  });

  it('returns a refusal with its code and the end of its message, and no token', async () => {
    const { exchange, seen } = await probeOf(json({ ...SUCCESS, code: 10007, msg: 'check sign failed: -3 ' }));
    expect(await exchange).toMatchObject({ code: 10007, kind: 'configuration', reason: '-3', token: undefined });
    expect(seen).toHaveLength(1);
  });

  it.each([IOS.appToken, IOS.appKey])('shows no request id that is a secret of the app: %s', async (requestId) => {
    const { exchange } = await probeOf(json({ ...SUCCESS, requestId }));
    expect((await exchange).facts).toEqual({ httpStatus: 200, retryAfter: undefined, vendorCode: 0 });
  });

  it.each([
    ['failed:-1', '-1'],
    ['failed:  -123  ', '-123'],
    ['failed:-1234', undefined],
    ['failed:3', undefined],
    ['failed -3', undefined],
    ['failed:-3 at gateway', undefined],
    ['', undefined],
  ])('reads the reason from the message %j as %j', async (msg, reason) => {
    const { exchange } = await probeOf(json({ code: 10001, msg }));
    expect((await exchange).reason).toBe(reason);
  });

  it('measures the duration of the exchange', async () => {
    let now = NOW;
    const clock = clockAt(() => now);
    const answering: Answering = (response) => {
      now += 250;
      response.end(JSON.stringify(SUCCESS));
    };
    const { exchange } = await probeOf(answering, { clock });
    expect(await exchange).toMatchObject({ roundTripMs: 250, token: { issuedAt: NOW } });
  });

  it('does not compare the clocks without a Date header', async () => {
    const { exchange } = await probeOf((response) => {
      response.sendDate = false;
      response.end(JSON.stringify(SUCCESS));
    });
    expect((await exchange).offsetMs).toBeUndefined();
  });
});

describe('a probe whose timestamp is refused', () => {
  it('is sent again with the vendor’s time, and reads the token by the vendor’s clock', async () => {
    const skewMs = 600_000;
    const answers = inTurn(json(SKEWED, 200, dated(skewMs)), json(SUCCESS, 200, dated(skewMs)));
    const { exchange, seen } = await probeOf(answers);
    expect(await exchange).toMatchObject({
      kind: 'success',
      offsetMs: 599_800,
      token: { fields: { expireTime: '1800004200' }, expiresAt: NOW + 3_600_000 },
    });
    expect(seen.map(({ headers }) => headers['x-iotvideo-timestamp'])).toEqual(['1800000000', '1800000600']);
    expect(new Set(seen.map(({ headers }) => headers['x-iotvideo-nonce'])).size).toBe(2);
  });

  it('is sent again only once', async () => {
    const { exchange, seen } = await probeOf(json(SKEWED, 200, dated(600_000)));
    expect(await exchange).toMatchObject({ code: 10007, kind: 'clock_skew', reason: '-2' });
    expect(seen).toHaveLength(2);
  });

  it('is not sent again if the vendor’s time is unknown', async () => {
    const { exchange, seen } = await probeOf((response) => {
      response.sendDate = false;
      response.end(JSON.stringify(SKEWED));
    });
    expect((await exchange).kind).toBe('clock_skew');
    expect(seen).toHaveLength(1);
  });
});

describe('a probe without a valid answer fails with', () => {
  it.each([
    ['outage', '<html>', 502, { httpStatus: 502, problem: 'answers HTTP 502' }],
    ['broken_answer', '<html>', 404, { httpStatus: 404, problem: 'the answer is not JSON' }],
    [
      'broken_answer',
      JSON.stringify({ ...SUCCESS, data: {} }),
      503,
      { httpStatus: 503, vendorCode: 0, vendorRequestId: 'r-1', problem: 'data.accessId is missing or malformed' },
    ],
  ])('%s if the answer is %s with HTTP %i', async (kind, body, status, facts) => {
    const { exchange } = await probeOf(json(body, status));
    const fault = await faultOf(exchange);
    expect(fault.kind).toBe(kind);
    expect(fault.facts).toEqual(facts);
  });
});
