import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Fault } from '../../../src/simulator/vendor-settings.ts';
import { startVendorSimulator, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import type { ResultKind } from '../../../src/token/observer.ts';
import { logIn, sendLogin } from './vendor-login.ts';

/** The refusals of a correct login, by their meaning for the broker. */
const REFUSALS: Readonly<
  Record<Exclude<ResultKind, 'success' | 'clock_skew' | 'request' | 'unknown'>, readonly [Fault, code: number]>
> = {
  maintenance: ['maintenance', 10901060],
  account_closed: ['account-closed', 10902013],
  configuration: ['frozen-app', 10901051],
  too_frequent: ['too-frequent', 10015],
};

let simulator: VendorSimulator;

beforeEach(async () => {
  simulator = await startVendorSimulator();
});
afterEach(() => simulator.close());

function loginUnder(fault: Fault): Promise<Response> {
  simulator.configure({ fault });
  return sendLogin(simulator);
}

test.each([
  ['http-500', 'a server error without JSON', 500, /^Internal Server Error$/],
  ['html', 'a page instead of JSON', 200, /<!doctype html>/],
] as const)('%s: %s', async (fault, _, status, text) => {
  const response = await loginUnder(fault);
  expect(response.status).toBe(status);
  expect(await response.text()).toMatch(text);
});

test('reset: the connection breaks before the answer', async () => {
  await expect(loginUnder('reset')).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
  expect(simulator.state().succeeded).toBe(0);
});

test('hang: no answer until the caller gives up', async () => {
  simulator.configure({ fault: 'hang' });
  const caller = new AbortController();
  const outcome = sendLogin(simulator, { signal: caller.signal }).then(
    () => 'answered',
    () => 'given up',
  );
  await expect.poll(() => simulator.state().requests).toBe(1);
  caller.abort();
  expect(await outcome).toBe('given up');
  expect(simulator.state().succeeded).toBe(0);
});

test('cut-off: half of the answer, although the login took effect', async () => {
  const response = await loginUnder('cut-off');
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow();
  expect(simulator.loginsOf('u-1', 't-1')).toBe(1);
});

test('endless: an answer that does not end', async () => {
  const response = await loginUnder('endless');
  let read = 0;
  for await (const chunk of response.body ?? []) {
    read += chunk.length;
    if (read > 2_000_000) break;
  }
  expect(read).toBeGreaterThan(2_000_000);
  expect(simulator.state().succeeded).toBe(0);
});

test('no-token: a success without the token', async () => {
  const answer = await (await loginUnder('no-token')).json();
  expect(answer).toMatchObject({ code: 0, data: { accessId: expect.any(String), terminalId: expect.any(String) } });
  expect(answer).not.toHaveProperty('data.accessToken');
});

test('past-expiry: a token that expired before it was handed out', async () => {
  simulator.configure({ fault: 'past-expiry' });
  const { data } = await logIn(simulator);
  expect(data.expireTime).toBeLessThan(Date.now() / 1000);
  expect(simulator.checkToken(data.accessToken)).toMatchObject({ live: false, expired: true });
});

test.each(Object.values(REFUSALS))('%s: refused with %i', async (fault, code) => {
  expect(await (await loginUnder(fault)).json()).toMatchObject({ code, data: {} });
  expect(simulator.state()).toMatchObject({ succeeded: 0, refusalsByCode: { [code]: 1 } });
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
