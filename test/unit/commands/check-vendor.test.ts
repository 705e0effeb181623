import { expect, it } from 'vitest';
import { checkVendor } from '../../../src/commands/checks/vendor.ts';
import { systemClock, withTimeout } from '../../../src/token/clock.ts';
import { KNOWN_RESULTS } from '../../../src/vendor-api/answer.ts';
import { IOS, WAY_OUT } from '../vendor-api/running-vendor-login.ts';
import { json, SUCCESS, scriptedVendor } from '../vendor-api/scripted-vendor.ts';

const NOW = 1_800_000_000_500;

/** Checks a vendor that gives this answer to each call. Its clock is so far ahead. */
async function checkVendorWith(answer: unknown, { aheadMs = 0, isLogin = false, status = 200 } = {}) {
  const { url } = await scriptedVendor(json(answer, status, { Date: new Date(NOW + aheadMs).toUTCString() }));
  const subject = { app: IOS.name, unionId: 'account', uniqueId: 'phone' };
  const login = isLogin ? { domain: url, app: IOS, subject, region: 'DE' } : undefined;
  const vendor = { baseUrl: url, regionUrls: new Map(), apps: new Map([['ios', IOS]]), timeoutMs: 5_000 };
  const clock = { ...systemClock, now: () => NOW, monotonic: () => 0 };
  return { host: url.host, results: await checkVendor({ ...vendor, maxPerSecond: 0 }, { ...WAY_OUT, clock }, login) };
}

it.each([
  [30_000, 'ok'],
  [31_000, 'warn'],
  [120_000, 'warn'],
  [121_000, 'FAIL'],
  [-30_000, 'ok'],
  [-31_000, 'warn'],
  [-121_000, 'FAIL'],
])('check judges a clock of the vendor that is %i ms ahead as %s', async (aheadMs, level) => {
  const { host, results } = await checkVendorWith(SUCCESS, { aheadMs });
  expect(results).toContainEqual(
    expect.objectContaining({ name: expect.objectContaining({ en: `clock of ${host}` }), level }),
  );
});

it('check leaves no connection open', async () => {
  const ends: Promise<unknown>[] = [];
  const { url } = await scriptedVendor((response) => {
    ends.push(new Promise((resolve) => response.socket?.once('close', resolve)));
    response.end(JSON.stringify(SUCCESS));
  });
  const apps = new Map([['ios', IOS]]);
  await checkVendor(
    { baseUrl: url, regionUrls: new Map(), apps, timeoutMs: 5_000, maxPerSecond: 0 },
    WAY_OUT,
    undefined,
  );
  // An unused connection would stay open for 3 s or more.
  expect(await withTimeout(systemClock, 2_000, Promise.all(ends))).toHaveLength(1);
});

it('a real login takes the place of the call of its app, and of no other call', async () => {
  const { url, seen } = await scriptedVendor(json(SUCCESS));
  const apps = new Map([IOS, { ...IOS, name: 'android', appId: 'android' }].map((app) => [app.name, app]));
  const login = { domain: url, app: IOS, subject: { app: IOS.name, unionId: 'a', uniqueId: 'p' }, region: 'DE' };
  await checkVendor({ baseUrl: url, regionUrls: new Map(), apps, timeoutMs: 5_000, maxPerSecond: 0 }, WAY_OUT, login);
  const countries = seen.map(({ body }) => JSON.parse(String(body))).map(({ appId, regRegion }) => [appId, regRegion]);
  expect(new Map(countries as [string, string][])).toEqual(
    new Map([
      [IOS.appId, 'DE'],
      ['android', ''],
    ]),
  );
});

it.each([429, 500])('a vendor that answers HTTP %i without a result is to be tried again', async (status) => {
  const { results } = await checkVendorWith('busy', { status });
  const [failure] = results.filter(({ level }) => level === 'FAIL');
  expect(failure).toMatchObject({
    detail: { en: expect.stringMatching(`answers HTTP ${status} without a result`) },
    fix: { en: expect.stringMatching(/^Wait a minute/) },
  });
});

/**
 * The verdicts of `check` by result code: on its call without a country, and on a real login. 10007 also has a reason.
 */
const VERDICTS: Readonly<Record<string, readonly [call: string, login: string]>> = {
  0: ['warn accepted with an empty country', 'ok succeeded'],
  10001: ['ok signature accepted', 'FAIL the vendor refuses a field'],
  10003: ['ok signature accepted', 'FAIL the vendor refuses a field'],
  '10007:-1': ['FAIL the vendor says that the signature is wrong', 'FAIL the vendor says that the signature is wrong'],
  '10007:-2': ['FAIL the vendor refuses the timestamp', 'FAIL the vendor refuses the timestamp'],
  '10007:-3': ['FAIL the vendor says that the signature is wrong', 'FAIL the vendor says that the signature is wrong'],
  10015: ['warn the vendor takes no calls at this moment', 'FAIL the vendor takes no calls at this moment'],
  10016: ['ok signature accepted', 'FAIL the vendor refuses a field'],
  10017: ['ok signature accepted', 'FAIL the vendor refuses a field'],
  10020: ['ok signature accepted', 'FAIL the vendor refuses a field'],
  10901050: ['FAIL the vendor refuses the app', 'FAIL the vendor refuses the app'],
  10901051: ['FAIL the vendor refuses the app', 'FAIL the vendor refuses the app'],
  10901052: ['FAIL the vendor refuses the app', 'FAIL the vendor refuses the app'],
  10901060: ['FAIL the vendor takes no calls at this moment', 'FAIL the vendor takes no calls at this moment'],
  10901072: ['warn the vendor takes no calls at this moment', 'FAIL the vendor takes no calls at this moment'],
  10901073: ['warn the vendor takes no calls at this moment', 'FAIL the vendor takes no calls at this moment'],
  10902013: ['ok signature and app accepted', 'FAIL the vendor has closed this account'],
  99999: ['warn the vendor refuses with an unknown code', 'FAIL the vendor refuses with an unknown code'],
};

it.each(Object.entries(VERDICTS))('check judges the result code %s', async (result, verdicts) => {
  const [code] = result.split(':');
  const answer = code === '0' ? SUCCESS : { code: Number(code), msg: `refused ${result}`, requestId: 'r-1' };
  for (const [isLogin, verdict] of [false, true].map((is, index) => [is, verdicts[index] ?? ''] as const)) {
    const { results } = await checkVendorWith(answer, { isLogin });
    const { level, detail } = results.at(-1) ?? {};
    expect(`${level} ${detail?.en}`).toMatch(new RegExp(`^${verdict}`));
    expect(detail?.zh).toMatch(/\p{Script=Han}/u);
    if (code !== '0') expect(detail?.en).toContain(code);
  }
});

it('check has a verdict for each known result code', () => {
  const judged = Object.keys(VERDICTS).map((result) => Number.parseInt(result, 10));
  expect(judged).toEqual(expect.arrayContaining([...KNOWN_RESULTS.keys()]));
});
