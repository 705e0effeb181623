import { expect, it } from 'vitest';
import { checkVendor } from '../../../src/commands/checks/vendor.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { IOS } from '../vendor-api/running-vendor-login.ts';
import { json, SUCCESS, scriptedVendor } from '../vendor-api/scripted-vendor.ts';

const NOW = 1_800_000_000_500;

/** Checks a vendor that accepts each login. Its clock is so far ahead. */
async function checkAcceptingVendor(aheadMs: number) {
  const { url } = await scriptedVendor(json(SUCCESS, 200, { Date: new Date(NOW + aheadMs).toUTCString() }));
  const vendor = { baseUrl: url, regionUrls: new Map(), apps: new Map([['ios', IOS]]), timeoutMs: 5_000 };
  const clock = { ...systemClock, now: () => NOW, monotonic: () => 0 };
  return { host: url.host, results: await checkVendor({ ...vendor, maxPerSecond: 0 }, clock, undefined) };
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
  const { host, results } = await checkAcceptingVendor(aheadMs);
  expect(results).toContainEqual(
    expect.objectContaining({ name: expect.objectContaining({ en: `clock of ${host}` }), level }),
  );
});

it('check says that a vendor has logged an account in, although the call has no country', async () => {
  const { results } = await checkAcceptingVendor(0);
  const detail = expect.objectContaining({
    en: expect.stringContaining('has logged the account sdk-token-broker-check in'),
  });
  expect(results).toContainEqual(expect.objectContaining({ level: 'warn', detail }));
});
