import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startVendorSimulator, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { START_MS, TestClock } from '../../support/test-clock.ts';
import { LOGIN_PATH, type LoginChange, logIn, sendLogin } from './vendor-login.ts';

const NOW = START_MS / 1_000;

let clock: TestClock;
let simulator: VendorSimulator;

beforeEach(async () => {
  clock = new TestClock();
  clock.advance(250);
  simulator = await startVendorSimulator({ clock });
});
afterEach(() => simulator.close());

const attempt = (change: LoginChange = {}) =>
  logIn(simulator, { timestamp: Math.floor(clock.now() / 1000), ...change });
const terminal = (unionId: string, uniqueId: string) => attempt({ fields: { unionId, uniqueId } });

test('answers a login as the protocol says', async () => {
  expect(await attempt()).toEqual({
    code: 0,
    msg: 'success',
    requestId: expect.any(String),
    data: {
      accessId: expect.stringMatching(/^-?\d{1,19}$/),
      accessToken: expect.stringMatching(/^[0-9a-f]{128}$/),
      expireTime: NOW + 30 * 86_400,
      terminalId: expect.stringMatching(/^-?\d{1,19}$/),
      expand: '{"area":"cn","regRegion":"CN"}',
    },
  });
});

test('gives each account and each terminal a fixed id, and each login a new token', async () => {
  const first = (await terminal('u-1', 't-1')).data;
  const again = (await terminal('u-1', 't-1')).data;
  const sibling = (await terminal('u-1', 't-2')).data;
  const stranger = (await terminal('u-2', 't-1')).data;
  expect(again).toMatchObject({ accessId: first.accessId, terminalId: first.terminalId });
  expect(sibling.accessId).toBe(first.accessId);
  expect(new Set([first.terminalId, sibling.terminalId, stranger.terminalId]).size).toBe(3);
  expect(stranger.accessId).not.toBe(first.accessId);
  expect(again.accessToken).not.toBe(first.accessToken);
});

test('tells a watcher when a valid login arrives and when it ends, with its token', async () => {
  const seen: unknown[] = [];
  const watched = await startVendorSimulator({
    watchLogin: ({ unionId, uniqueId }) => {
      seen.push([unionId, uniqueId]);
      return ({ result, token, isDelivered }) => seen.push([result, token?.accessToken, isDelivered]);
    },
  });
  try {
    const { data } = await logIn(watched);
    watched.configure({ fault: 'http-500' });
    await sendLogin(watched);
    expect(seen).toEqual([
      ['u-1', 't-1'],
      ['success', data.accessToken, true],
      ['u-1', 't-1'],
      ['http-500', undefined, false],
    ]);
  } finally {
    await watched.close();
  }
});

test('writes expireTime in seconds, or in milliseconds if configured', async () => {
  simulator.configure({ tokenLifetimeSeconds: 90 });
  expect((await attempt()).data.expireTime).toBe(NOW + 90);
  simulator.configure({ expireTimeUnit: 'ms' });
  expect((await attempt()).data.expireTime).toBe((NOW + 90) * 1000 + 250);
});

test('applies its clock offset to the Date header, timestamps and expireTime, but not to the lifetime of tokens', async () => {
  simulator.configure({ clockOffsetMs: 600_000, tokenLifetimeSeconds: 60 });
  const late = await sendLogin(simulator, { timestamp: NOW });
  expect(Date.parse(late.headers.get('date') ?? '')).toBe((NOW + 600) * 1000);
  expect(await late.json()).toMatchObject({ code: 10007, msg: expect.stringMatching(/:-2$/) });
  const { data } = await attempt({ timestamp: NOW + 600 });
  expect(data.expireTime).toBe(NOW + 660);
  clock.advance(59_999);
  expect(simulator.checkToken(data.accessToken).live).toBe(true);
  clock.advance(1);
  expect(simulator.checkToken(data.accessToken)).toEqual({ live: false, expired: true, replaced: false });
});

describe('a second login of a terminal', () => {
  test('leaves the first token valid in mode overlap', async () => {
    const first = await attempt();
    const second = await attempt();
    for (const { data } of [first, second]) {
      expect(simulator.checkToken(data.accessToken)).toEqual({ live: true, expired: false, replaced: false });
    }
  });

  test('ends every earlier token of that terminal, and of no other, in mode replace', async () => {
    const earlier = [await attempt(), await attempt()];
    const other = await terminal('u-1', 't-2');
    simulator.configure({ mode: 'replace' });
    const newest = await attempt();
    for (const { data } of earlier) {
      expect(simulator.checkToken(data.accessToken)).toEqual({ live: false, expired: false, replaced: true });
    }
    expect(simulator.checkToken(newest.data.accessToken).live).toBe(true);
    expect(simulator.checkToken(other.data.accessToken).live).toBe(true);
  });
});

test('reports a token that it did not issue as unknown', () => {
  expect(simulator.checkToken('ab'.repeat(64))).toEqual({ live: false, expired: false, replaced: false });
});

test('refuses logins above its limit per second with 10015', async () => {
  simulator.configure({ maxLoginsPerSecond: 2 });
  const codes = [await attempt(), await attempt(), await attempt()].map(({ code }) => code);
  expect(codes).toEqual([0, 0, 10015]);
  clock.advance(999);
  expect(await attempt()).toMatchObject({ code: 10015 });
  clock.advance(1);
  expect(await attempt()).toMatchObject({ code: 0 });
});

test('counts requests, attempts, logins by terminal and refusals by code', async () => {
  await terminal('u-1', 't-1');
  clock.advance(5);
  await terminal('u-1', 't-1');
  await terminal('u-1', 't-2');
  await attempt({ fields: { regRegion: 'x' } });
  await fetch(`${simulator.url}/elsewhere`);
  expect(simulator.state()).toMatchObject({
    requests: 5,
    succeeded: 3,
    concurrent: 0,
    attempts: [clock.now() - 5, clock.now(), clock.now(), clock.now()],
    refusalsByCode: { 10003: 1 },
    loginsByTerminal: [
      { unionId: 'u-1', uniqueId: 't-1', logins: 2 },
      { unionId: 'u-1', uniqueId: 't-2', logins: 1 },
    ],
  });
  expect(simulator.loginsOf('u-1', 't-1')).toBe(2);
  expect(simulator.loginsOf('u-2', 't-1')).toBe(0);
});

test('counts logins of one terminal that were in progress at the same time', async () => {
  simulator.configure({ fault: 'hang' });
  const callers = new AbortController();
  const outcomes = ['t-1', 't-2', 't-1'].map((uniqueId) =>
    sendLogin(simulator, { timestamp: NOW, fields: { uniqueId }, signal: callers.signal }),
  );
  await expect.poll(() => simulator.state()).toMatchObject({ requests: 3, concurrent: 1 });
  callers.abort();
  await Promise.allSettled(outcomes);
});

test('closes at once even if a login is waiting for its answer', async () => {
  const slow = await startVendorSimulator({ latencyMs: 600_000 });
  const login = sendLogin(slow).catch((error: unknown) => error);
  await expect.poll(() => slow.state().requests).toBe(1);
  await slow.close();
  expect(await login).toBeInstanceOf(TypeError);
});

test('answers other paths and methods with 404 and 405', async () => {
  expect((await fetch(`${simulator.url}/`)).status).toBe(404);
  expect((await fetch(simulator.url + LOGIN_PATH)).status).toBe(405);
});

test('does not start with invalid settings', async () => {
  await expect(startVendorSimulator({ tokenLifetimeSeconds: 0 })).rejects.toThrow('tokenLifetimeSeconds must be');
});
