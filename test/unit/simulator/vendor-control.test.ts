import { afterEach, beforeEach, expect, test } from 'vitest';
import { startVendorSimulator, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import { logIn } from './vendor-login.ts';

let simulator: VendorSimulator;

beforeEach(async () => {
  simulator = await startVendorSimulator();
});
afterEach(() => simulator.close());

async function post(path: string, body: string) {
  const response = await fetch(simulator.url + path, { method: 'POST', body });
  return { status: response.status, body: (await response.json()) as unknown };
}

test('shows the counts, and does not count the control request itself', async () => {
  await logIn(simulator);
  const response = await fetch(`${simulator.url}/simulator/state`);
  expect(await response.json()).toEqual({ ...simulator.state() });
  expect(simulator.state().requests).toBe(1);
});

test('changes the given settings and answers with all settings', async () => {
  expect(await post('/simulator/configure', '{"mode":"replace","fault":"html","faultCount":3}')).toMatchObject({
    status: 200,
    body: { mode: 'replace', fault: 'html', faultCount: 3, latencyMs: 0 },
  });
  expect(simulator.state().settings).toMatchObject({ mode: 'replace', fault: 'html' });
});

test.each([
  ['{"latency":1}', /^unknown setting latency, allowed are latencyMs, /],
  ['{"__proto__":{}}', /^unknown setting __proto__/],
  [
    '{"latencyMs":1e20,"a":1,"b":2}',
    /^latencyMs must be a whole number from 0 to 600000; unknown setting a, b, allowed are [^;]+$/,
  ],
  ['{"mode":"both"}', /^mode must be one of overlap, replace$/],
  ['{"latencyMs":-1}', /^latencyMs must be a whole number from 0 to 600000$/],
  ['{"latencyMs":"5"}', /^latencyMs must be a whole number/],
  ['{"maxLoginsPerSecond":1.5}', /^maxLoginsPerSecond must be a whole number/],
  ['{"tokenLifetimeSeconds":0,"fault":"fire"}', /^tokenLifetimeSeconds must be .*; fault must be one of none, /],
  ['{"faultCount":0}', /^faultCount must be a whole number from 1, or null$/],
  ['{"clockOffsetMs":1e300}', /^clockOffsetMs must be/],
  ['[]', /^settings must be an object$/],
  ['{', /JSON/],
])('refuses %s, lists the allowed values and changes nothing', async (body, error) => {
  const before = simulator.state().settings;
  expect(await post('/simulator/configure', body)).toEqual({
    status: 400,
    body: { error: expect.stringMatching(error) },
  });
  expect(simulator.state().settings).toBe(before);
});

test('shows the status of a token', async () => {
  const { data } = await logIn(simulator);
  const check = () => post('/simulator/check-token', JSON.stringify({ accessToken: data.accessToken }));
  expect(await check()).toEqual({ status: 200, body: { live: true, expired: false, replaced: false } });
  simulator.configure({ mode: 'replace' });
  await logIn(simulator);
  expect(await check()).toEqual({ status: 200, body: { live: false, expired: false, replaced: true } });
});

test.each(['{}', 'null', '{"accessToken":1}'])('refuses to check the token in %s', async (body) => {
  expect(await post('/simulator/check-token', body)).toMatchObject({ status: 400 });
});

test('refuses a body above the size limit', async () => {
  expect(await post('/simulator/check-token', ' '.repeat(65_537))).toMatchObject({ status: 413 });
});

test('lists its calls in the answer to an unknown call', async () => {
  const response = await fetch(`${simulator.url}/simulator/reset`);
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('POST /simulator/check-token');
});
