import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectedSignature } from '../../../src/simulator/login-verifier.ts';
import { sleep, systemClock } from '../../../src/token/clock.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { noTracer, type Tracer } from '../../../src/token/tracer.ts';
import type { VendorTransport } from '../../../src/vendor-api/client.ts';
import { VendorFault } from '../../../src/vendor-api/faults.ts';
import { TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import {
  clockWithoutTimers,
  hastyClock,
  IOS,
  loginAt,
  REQUEST,
  refusalOf,
  SKEWED,
  SUBJECT,
  vendorLoginAt,
} from './running-vendor-login.ts';
import { DATA, inTurn, json, type SeenRequest, SUCCESS, scriptedTransport, scriptedVendor } from './scripted-vendor.ts';

const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** An independent vendor: it refuses wrong signatures and wrong timestamps. */
function verifying(response: ServerResponse, { headers, body }: SeenRequest): void {
  const named = (name: string) => String(headers[`x-iotvideo-${name}`]);
  const timestamp = named('timestamp');
  const parts = { host: String(headers.host), accessId: named('accessid'), nonce: named('nonce'), timestamp, body };
  const expected = expectedSignature(parts, IOS.appKey);
  if (expected !== headers['x-iotvideo-signature']) {
    response.end(JSON.stringify({ ...SKEWED, msg: 'check sign failed:-3' }));
  } else if (Math.abs(Number(timestamp) - Date.now() / 1000) > 300) {
    response.end(JSON.stringify(SKEWED));
  } else {
    response.end(JSON.stringify(SUCCESS));
  }
}

function shifted(byMs: number) {
  return { ...hastyClock, now: () => systemClock.now() + byMs };
}

describe('a login', () => {
  it('has a signature that an independent verifier accepts, and returns the token', async () => {
    const { vendor, vendorLogin, lines } = await loginAt(verifying);
    const before = systemClock.now();
    const token = await vendorLogin.login(REQUEST);
    // The round trip is rounded to whole ms.
    expect(token.issuedAt).toBeGreaterThanOrEqual(before - 1);
    expect(token.expiresAt).toBe(token.issuedAt + 3_600_000);
    const { expireTime: _, ...rest } = DATA;
    expect(token.fields).toEqual({
      ...rest,
      expireTime: String(Math.floor(token.expiresAt / 1000)),
      expend: DATA.expand,
    });
    expect(lines).toEqual([]);
    expect(JSON.parse(String(vendor.seen[0]?.body))).toEqual({
      action: 'thirdCustLogin',
      appId: IOS.appId,
      appToken: IOS.appToken,
      unionId: SUBJECT.unionId,
      uniqueId: SUBJECT.uniqueId,
      regRegion: 'CN',
    });
  });

  it('uses the credentials of the subject’s app', async () => {
    const { vendor, vendorLogin } = await loginAt(json(SUCCESS));
    await vendorLogin.login({ ...REQUEST, subject: { ...SUBJECT, app: 'android' } });
    expect(vendor.seen[0]?.headers['x-iotvideo-accessid']).toBe('canary-other');
    expect(JSON.parse(String(vendor.seen[0]?.body)).appId).toBe('canary-android');
  });

  it('uses new credentials from its next attempt on', async () => {
    let app = IOS;
    const vendor = await scriptedVendor((response, seen, index) => {
      app = { ...IOS, accessId: 'canary-new' };
      inTurn(json({ code: 10901060, msg: 'maintenance' }))(response, seen, index);
    });
    const { vendorLogin } = vendorLoginAt(vendor.url, { apps: () => new Map([['ios', app]]) });
    await vendorLogin.login(REQUEST);
    expect(vendor.seen.map(({ headers }) => headers['x-iotvideo-accessid'])).toEqual([IOS.accessId, 'canary-new']);
  });

  it('has a span for each attempt, which tells the host and nothing of the account', async () => {
    const spans: unknown[] = [];
    const tracer: Tracer = {
      ...noTracer,
      span(...[name, work, facts]) {
        spans.push([name, facts]);
        return work();
      },
    };
    const { transport } = scriptedTransport(SKEWED);
    await vendorLoginAt(new URL('http://vendor.test:81'), { transport, tracer }).vendorLogin.login(REQUEST);
    const attempt = ['login attempt', { 'server.address': 'vendor.test', 'http.request.method': 'POST' }];
    expect(spans).toEqual([attempt, attempt]);
  });

  it('goes to the domain of the region, or else to the base URL', async () => {
    const base = await scriptedVendor(json(SUCCESS));
    const china = await scriptedVendor(json(SUCCESS));
    const { vendorLogin } = vendorLoginAt(base.url, { regionUrls: new Map([['CN', new URL('/cn/', china.url)]]) });
    await vendorLogin.login(REQUEST);
    await vendorLogin.login({ ...REQUEST, region: 'DE' });
    expect(china.seen.map(({ path }) => path)).toEqual(['/cn/openapi/custCloud/app/user/thirdCustLogin']);
    expect(base.seen.map(({ body }) => JSON.parse(String(body)).regRegion)).toEqual(['DE']);
  });

  it('succeeds by its result code, whatever the HTTP status', async () => {
    const { vendorLogin } = await loginAt(json(SUCCESS, 500));
    expect((await vendorLogin.login(REQUEST)).fields).toMatchObject({ accessId: DATA.accessId });
  });

  it('for an app that is not configured fails without a request', async () => {
    const { vendor, vendorLogin, lines } = await loginAt(json(SUCCESS));
    const error = await refusalOf(vendorLogin.login({ ...REQUEST, subject: { ...SUBJECT, app: 'web' } }));
    expect(error).toMatchObject({ code: 'vendor_rejected', vendorCode: undefined });
    expect(lines).toMatchObject([{ level: 'error', obj: { app: 'web', problem: expect.stringMatching(/no .*app/) } }]);
    expect(vendor.seen).toHaveLength(0);
  });
});

describe.each([150_000, -150_000])('a wall clock that jumps by %i ms during a login', (jumpMs) => {
  /** A vendor that answers after 200 ms, in which the clock of the broker is set. Its own clock stays. */
  async function loginDuringJump(expireTime: (nowSeconds: number) => number) {
    const clock = new TestClock();
    const right = clock.now();
    const { vendor, vendorLogin } = await loginAt(
      (response) => {
        clock.advance(200);
        clock.jump(jumpMs);
        const at = right + clock.monotonic();
        const data = { ...DATA, expireTime: expireTime(Math.floor(at / 1_000)) };
        response.writeHead(200, { Date: new Date(at).toUTCString() }).end(JSON.stringify({ ...SUCCESS, data }));
      },
      { clock },
    );
    return { clock, vendor, token: await vendorLogin.login(REQUEST) };
  }

  it('costs no second attempt, and the end of the token is right on the clock as it is now', async () => {
    for (const lifeSeconds of [600, 30 * 86_400]) {
      const { clock, vendor, token } = await loginDuringJump((now) => now + lifeSeconds);
      expect(vendor.seen).toHaveLength(1);
      expect(Math.abs(token.expiresAt - (clock.now() + lifeSeconds * 1_000))).toBeLessThan(2_000);
      expect(Math.abs(token.issuedAt - (clock.now() - 200))).toBeLessThan(2_000);
    }
  });

  it('does not change a life that the vendor gives in seconds', async () => {
    const { clock, vendor, token } = await loginDuringJump(() => 3_600);
    expect(vendor.seen).toHaveLength(1);
    expect(token.expiresAt - token.issuedAt).toBe(3_600_000);
    expect(token.issuedAt).toBe(clock.now() - 200);
  });

  it('leaves the budget of the login as it is', async () => {
    const clock = new TestClock();
    const { vendor, vendorLogin } = await loginAt(
      (response, seen, index) => {
        if (index === 0) clock.jump(jumpMs);
        const answer = index === 0 ? { code: 10901060, msg: 'maintenance' } : SUCCESS;
        json(answer, 200, { Date: new Date(clock.now()).toUTCString() })(response, seen, index);
      },
      { clock },
    );
    expect((await vendorLogin.login(REQUEST)).fields).toMatchObject({ accessToken: DATA.accessToken });
    expect(vendor.seen).toHaveLength(2);
  });
});

describe('clock skew', () => {
  it.each([600_000, -600_000])(
    'of %i ms is measured by the Date header, and the login is signed again once',
    async (skew) => {
      const { vendor, vendorLogin, lines } = await loginAt(verifying, { clock: shifted(skew) });
      const token = await vendorLogin.login(REQUEST);
      expect(vendor.seen).toHaveLength(2);
      expect(new Set(vendor.seen.map(({ headers }) => headers['x-iotvideo-nonce'])).size).toBe(2);
      expect(lines).toEqual([]);
      expect(Math.abs((vendorLogin.domains()[0]?.clockOffsetMs ?? 0) + skew)).toBeLessThan(10_000);
      // The expiry is by the broker's clock inside, and by the vendor's clock for the SDK.
      expect(token.expiresAt - token.issuedAt).toBe(3_600_000);
      const onTheWire = Number(token.fields['expireTime']) * 1000;
      expect(Math.abs(onTheWire - (token.expiresAt - skew))).toBeLessThan(10_000);
      await vendorLogin.login(REQUEST);
      expect(vendor.seen).toHaveLength(3);
    },
  );

  it('costs no delay: the login is signed again at once', async () => {
    const { sent, transport } = scriptedTransport(SKEWED);
    const { vendorLogin } = vendorLoginAt(new URL('http://vendor.test'), { clock: clockWithoutTimers, transport });
    await vendorLogin.login(REQUEST);
    expect(sent).toHaveLength(2);
  });

  it('of one domain does not affect another', async () => {
    const off = await scriptedVendor(json(SUCCESS, 200, { Date: new Date(Date.now() + 3_600_000).toUTCString() }));
    const right = await scriptedVendor(verifying);
    const { vendorLogin } = vendorLoginAt(right.url, { regionUrls: new Map([['CN', off.url]]) });
    await vendorLogin.login(REQUEST);
    await vendorLogin.login({ ...REQUEST, region: 'DE' });
    expect(right.seen).toHaveLength(1);
  });
});

describe('the vendor’s answer', () => {
  const answer = (code: number, msg = 'no') => JSON.stringify({ code, msg, requestId: 'r-9' });
  const broken = (data: object) => JSON.stringify({ code: 0, requestId: 'r-9', data: { ...DATA, ...data } });

  const NO = { attempts: 1 };
  const PASSING = { attempts: 3, retryAfter: 2 };
  const LOST = { attempts: 2, retryAfter: 2 };
  it.each([
    ['configuration', answer(10901050), 'vendor_rejected', 'error', { ...NO, vendorCode: 10901050 }],
    ['signature wrong', answer(10007, 'sign:-3'), 'vendor_rejected', 'error', { ...NO, vendorCode: 10007 }],
    ['timestamp wrong', answer(10007, 'sign:-2'), 'vendor_rejected', 'error', { attempts: 2, vendorCode: 10007 }],
    ['malformed field', answer(10003), 'vendor_rejected', 'warn', { ...NO, vendorCode: 10003 }],
    ['account closed', answer(10902013), 'account_disabled', 'warn', { ...NO, vendorCode: 10902013 }],
    ['maintenance', answer(10901060), 'vendor_unavailable', 'warn', { ...PASSING, vendorCode: 10901060 }],
    ['unknown code', answer(99), 'vendor_unavailable', 'warn', { ...PASSING, vendorCode: 99 }],
    ['HTML', '<html>hello</html>', 'vendor_unavailable', 'error', LOST],
    ['nothing', '', 'vendor_unavailable', 'error', LOST],
    ['cut-off JSON', '{"code":0,"da', 'vendor_unavailable', 'error', LOST],
    ['no data', answer(0), 'vendor_unavailable', 'error', LOST],
    ['empty data', '{"code":0,"data":{}}', 'vendor_unavailable', 'error', LOST],
    ['no token', broken({ accessToken: '' }), 'vendor_unavailable', 'error', LOST],
    ['an expiry in the past', broken({ expireTime: '1500000000' }), 'vendor_unavailable', 'error', LOST],
    ['too long', 'x'.repeat(300_000), 'vendor_unavailable', 'error', LOST],
  ] as const)('%s: gives the right error, log level and number of attempts', async (...row) => {
    const [, body, code, level, { attempts, ...more }] = row;
    for (const status of [200, 400]) {
      const { vendor, vendorLogin, lines } = await loginAt(json(body, status));
      const error = await refusalOf(vendorLogin.login(REQUEST));
      expect(error).toMatchObject({ code, vendorCode: undefined, retryAfter: undefined, ...more });
      expect(lines).toMatchObject([{ level, obj: { region: 'CN', app: 'ios' } }]);
      expect(vendor.seen).toHaveLength(attempts);
    }
  });

  it('is logged with its code, HTTP status, terminal, and the request ids of the vendor and of the app', async () => {
    const { vendorLogin, lines } = await loginAt(json(answer(10901060), 503));
    await refusalOf(vendorLogin.login({ ...REQUEST, requestId: 'app-1' }));
    const ids = { vendorRequestId: 'r-9', requestId: 'app-1', subject: subjectId(SUBJECT) };
    expect(lines[0]?.obj).toMatchObject({ vendorCode: 10901060, httpStatus: 503, ...ids });
  });

  it.each([
    ...['r-9', 'Az09_-', 'r'.repeat(64)].map((id) => [id, id]),
    ...['', 'r'.repeat(65), 'r 9', ' r-9', 'r-9\n', 'é'].map((id) => [id, undefined]),
  ])('has the request id %j and is logged with %j', async (requestId, logged) => {
    const { vendorLogin, lines } = await loginAt(json({ code: 10003, msg: '', requestId }));
    await refusalOf(vendorLogin.login(REQUEST));
    expect(Reflect.get(lines[0]?.obj ?? {}, 'vendorRequestId')).toBe(logged);
  });

  it.each([
    [500, 'outage'],
    [502, 'outage'],
    [503, 'outage'],
    [429, 'too_frequent'],
  ])('with HTTP %i and no result code is of kind %s, not a broken answer', async (status, kind) => {
    const { vendorLogin, lines } = await loginAt(json('<html>try later</html>', status));
    expect(await refusalOf(vendorLogin.login(REQUEST))).toMatchObject({ code: 'vendor_unavailable', retryAfter: 2 });
    expect(lines).toMatchObject([{ level: 'warn', obj: { kind, httpStatus: status } }]);
  });

  it.each([
    ['17', 17],
    ['99999', 3600],
    ['0', 2],
  ])('may ask for a delay: Retry-After %s becomes %i', async (header, retryAfter) => {
    const { vendor, vendorLogin } = await loginAt(json(answer(10015), 200, { 'Retry-After': header }));
    expect(await refusalOf(vendorLogin.login({ ...REQUEST, budgetMs: 12_000 }))).toMatchObject({ retryAfter });
    expect(vendor.seen.length > 1).toBe(header === '0');
  });

  const GBK = Buffer.from([0xc7, 0xeb, 0xc7, 0xf3, 0xb9, 0xfd, 0xb6, 0xe0]);
  it.each([
    ['a page in GBK', 429, GBK, 'too_frequent'],
    ['a page in gzip', 429, gzipSync('<html>too many requests</html>'), 'too_frequent'],
    ['a page over 256 KiB', 429, Buffer.alloc(300 * 1024, ' '), 'too_frequent'],
    ['a page in GBK', 503, GBK, 'outage'],
    ['a page over 256 KiB', 503, Buffer.alloc(300 * 1024, ' '), 'outage'],
    ['a page in GBK', 403, GBK, 'broken_answer'],
    ['a page over 256 KiB', 403, Buffer.alloc(300 * 1024, ' '), 'too_large'],
  ])('keeps its status and its Retry-After if it is %s with status %i', async (_, status, page, kind) => {
    const { vendor, vendorLogin, lines } = await loginAt((response) =>
      response.writeHead(status, { 'Retry-After': '17' }).end(page),
    );
    const refusal = refusalOf(vendorLogin.login({ ...REQUEST, budgetMs: 12_000 }));
    expect(await refusal).toMatchObject({ code: 'vendor_unavailable', retryAfter: 17 });
    expect(lines).toMatchObject([{ obj: { kind, httpStatus: status, retryAfter: 17 } }]);
    expect(vendor.seen).toHaveLength(1);
  });
});

describe('the duration of a login', () => {
  it('leaves each attempt that is sent its whole timeout, whatever is left of the budget', async () => {
    const attempt = fc.record({ tookMs: fc.nat(1_000), waitMs: fc.nat(2_000), isLost: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.nat(6_000), fc.array(attempt, { minLength: 3, maxLength: 3 }), async (extraMs, attempts) => {
        const { clock, pass } = virtualClock();
        const startedAt = clock.now();
        const sent: { readonly atMs: number; readonly timeoutMs: number }[] = [];
        const post: VendorTransport['post'] = async (_, timeoutMs) => {
          sent.push({ atMs: clock.now() - startedAt, timeoutMs });
          const { tookMs = 0, isLost } = attempts[sent.length - 1] ?? {};
          await sleep(clock, isLost ? timeoutMs : tookMs);
          throw new VendorFault(isLost ? 'timeout' : 'maintenance');
        };
        const { vendorLogin } = vendorLoginAt(new URL('http://vendor.test'), {
          timeoutMs: 1_000,
          clock,
          maxPerSecond: 1,
          queue: { reserve: async () => ({ granted: true, waitMs: attempts[sent.length]?.waitMs ?? 0 }) },
          transport: { post },
        });
        const budgetMs = 1_000 + extraMs;
        const refusal = refusalOf(vendorLogin.login({ ...REQUEST, budgetMs }));
        for (let passedMs = 0; passedMs < 12_000; passedMs += 500) await pass(500);
        await refusal;
        for (const { atMs, timeoutMs } of sent) {
          expect(timeoutMs).toBe(1_000);
          expect(atMs).toBeLessThanOrEqual(budgetMs - timeoutMs);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('ends with the attempt that runs when the service stops', async () => {
    const vendor = await scriptedVendor((response) => {
      vendorLogin.stopRetrying();
      json({ code: 10901060, msg: 'maintenance' })(response, vendor.seen[0] as SeenRequest, 0);
    });
    const { vendorLogin } = vendorLoginAt(vendor.url);
    expect(await refusalOf(vendorLogin.login(REQUEST))).toMatchObject({ vendorCode: 10901060, isUnsent: false });
    expect(vendor.seen).toHaveLength(1);
  });

  it('includes the delay between two attempts, which the log shows', async () => {
    const retries: unknown[] = [];
    const { vendorLogin } = await loginAt(inTurn(json({ code: 10901060, msg: 'maintenance' })), {
      clock: { ...systemClock, random: () => 0.4 },
      log: { ...QUIET, debug: (obj, msg) => retries.push({ obj, msg }) },
    });
    const startedAt = performance.now();
    await vendorLogin.login(REQUEST);
    expect(performance.now() - startedAt).toBeGreaterThan(95);
    expect(retries).toEqual([
      {
        obj: { kind: 'maintenance', delayMs: 100, region: 'CN', app: 'ios' },
        msg: 'vendor login failed and is retried',
      },
    ]);
  });
});

it('errors and log lines show nothing secret, even if the vendor echoes the whole request', async () => {
  const echoes: ((echo: string) => string)[] = [
    (echo) => `<html>${echo}</html>`,
    (echo) => JSON.stringify({ code: 10007, msg: `${echo}:-2`, data: { echo } }),
    (echo) => JSON.stringify({ code: 10003, msg: echo }),
    (echo) => JSON.stringify({ code: 0, msg: echo, data: { accessToken: 'canary', [echo]: echo } }),
    (echo) => JSON.stringify({ code: 0, data: { ...DATA, accessToken: 'canary', expireTime: echo } }),
    (echo) => JSON.stringify({ code: echo, [echo]: echo }),
    (echo) => `{"code":0,"data":{"canary":1,"canary":2,"${encodeURIComponent(echo)}`,
  ];
  for (const echo of echoes) {
    const { vendorLogin, lines } = await loginAt((response, { headers, body }) =>
      response.end(echo(JSON.stringify(headers) + body)),
    );
    const error = await refusalOf(vendorLogin.login(REQUEST));
    expect(lines.length).toBeGreaterThan(0);
    for (const shown of [error, lines]) {
      const text = inspect(shown, { depth: 20, showHidden: true });
      expect(text).not.toMatch(/canary|signature":/i);
    }
  }
});
