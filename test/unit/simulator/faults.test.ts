import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Fault } from '../../../src/simulator/vendor-settings.ts';
import { DEMO_APP, startVendorSimulator, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { probeVendor } from '../../../src/vendor-api/exchange.ts';
import type { FaultKind } from '../../../src/vendor-api/faults.ts';
import { SUBJECT, vendorClient } from '../vendor-api/running-vendor-login.ts';
import { logIn, sendLogin } from './vendor-login.ts';

/** What the broker takes each fault for, and whether the login takes effect all the same. */
const FAULTS: Readonly<Record<Exclude<Fault, 'none'>, readonly [FaultKind, takesEffect?: true]>> = {
  'http-500': ['outage'],
  reset: ['unreachable'],
  hang: ['timeout'],
  html: ['broken_answer'],
  'cut-off': ['unreachable', true],
  endless: ['too_large'],
  'no-token': ['broken_answer', true],
  'past-expiry': ['broken_answer', true],
  maintenance: ['maintenance'],
  'too-frequent': ['too_frequent'],
  'account-closed': ['account_closed'],
  'frozen-app': ['configuration'],
};

let simulator: VendorSimulator;

beforeEach(async () => {
  simulator = await startVendorSimulator();
});
afterEach(() => simulator.close());

test.each(Object.entries(FAULTS))('%s is %s for the broker', async (name, [kind, takesEffect = false]) => {
  simulator.configure({ fault: name as Fault });
  const app = { name: 'ios', accessId: DEMO_APP.appId, ...DEMO_APP };
  const login = { domain: new URL(simulator.url), app, subject: SUBJECT, region: 'CN' };
  const timeoutMs = kind === 'timeout' ? 100 : 20_000;
  const probe = probeVendor(login, { transport: vendorClient(), clock: systemClock, timeoutMs });
  expect(await probe.catch((fault) => fault)).toMatchObject({ kind });
  expect(simulator.loginsOf(SUBJECT.unionId, SUBJECT.uniqueId)).toBe(takesEffect ? 1 : 0);
});

test('applies to the given number of logins, not counting refused ones', async () => {
  simulator.configure({ fault: 'maintenance', faultCount: 2 });
  const codes: number[] = [];
  for (const regRegion of ['CN', 'bad', 'CN', 'CN'])
    codes.push((await logIn(simulator, { fields: { regRegion } })).code);
  expect(codes).toEqual([10901060, 10003, 10901060, 0]);
  expect(simulator.state().settings).toMatchObject({ fault: 'none', faultCount: null });
});

test('applies to every login if no count is given, also after an earlier count', async () => {
  simulator.configure({ fault: 'reset', faultCount: 1 });
  simulator.configure({ fault: 'maintenance' });
  expect(await logIn(simulator)).toMatchObject({ code: 10901060 });
  expect(await logIn(simulator)).toMatchObject({ code: 10901060 });
});

test('uses up the nonce of the login, so a retry must be signed again', async () => {
  simulator.configure({ fault: 'http-500', faultCount: 1 });
  await sendLogin(simulator, { nonce: '9' });
  expect(await logIn(simulator, { nonce: '9' })).toMatchObject({ code: 10007 });
});
