import { once } from 'node:events';
import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { expectedSignature } from '../../../src/simulator/login-verifier.ts';
import { startVendorSimulator, type VendorSimulator } from '../../../src/simulator/vendor-simulator.ts';
import vectors from '../../fixtures/signature-vectors.json' with { type: 'json' };
import { START_MS, TestClock } from '../../support/test-clock.ts';
import { LOGIN_PATH, type LoginChange, logIn } from './vendor-login.ts';

const NOW = START_MS / 1_000;
const APPS = [
  { appId: 'ios', appToken: 'ios-token', appKey: 'ios-key' },
  { appId: 'android', appToken: 'android-token', appKey: 'android-key', accessId: 'android-access' },
] as const;
const [IOS, ANDROID] = APPS;

let clock: TestClock;
let simulator: VendorSimulator;

beforeEach(async () => {
  clock = new TestClock();
  clock.advance(999);
  simulator = await startVendorSimulator({ apps: APPS, clock });
});
afterEach(() => simulator.close());

const attempt = (change: LoginChange = {}) => logIn(simulator, { app: IOS, timestamp: NOW, ...change });

const accepted: [string, LoginChange][] = [
  ['an app whose access id is its appId', {}],
  ['an app with a separate access id', { app: ANDROID }],
  ['a content type with a charset', { headers: { 'content-type': 'application/json; charset=utf-8' } }],
  ['the lowest nonce', { nonce: '1' }],
  ['the highest nonce', { nonce: '2147483646' }],
  ['a timestamp 5 minutes behind', { timestamp: NOW - 300 }],
  ['a timestamp 5 minutes ahead', { timestamp: NOW + 300 }],
  ['any non-empty unionId', { fields: { unionId: '用户 😀\n"' } }],
];
test.each(accepted)('accepts %s', async (_, change) => {
  expect(await attempt(change)).toMatchObject({ code: 0, msg: 'success' });
});

const refused: [string, LoginChange, number, RegExp][] = [
  ['another content type', { headers: { 'content-type': 'text/plain' } }, 10007, /Content-Type.*:-1$/],
  ['a body that is not JSON', { rawBody: '{' }, 10007, /JSON object.*:-1$/],
  ['a body that is not an object', { rawBody: '[]' }, 10007, /JSON object.*:-1$/],
  ['a missing access id', { headers: { 'x-iotvideo-accessid': undefined } }, 10007, /AccessID is missing:-3$/],
  ['a missing nonce', { headers: { 'x-iotvideo-nonce': undefined } }, 10007, /Nonce is missing:-3$/],
  ['a missing timestamp', { headers: { 'x-iotvideo-timestamp': undefined } }, 10007, /Timestamp is missing:-3$/],
  ['a missing signature', { headers: { 'x-iotvideo-signature': undefined } }, 10007, /Signature is missing:-3$/],
  ['the payload sent as a header', { headers: { payload: 'ab' } }, 10007, /never sent as a header:-3$/],
  ['nonce 0', { nonce: '0' }, 10007, /from 1 to 2147483646:-3$/],
  ['a nonce too high', { nonce: '2147483647' }, 10007, /from 1 to 2147483646:-3$/],
  ['a nonce that is not an integer', { nonce: '1.5' }, 10007, /from 1 to 2147483646:-3$/],
  ['a timestamp in ms', { timestamp: NOW * 1000 }, 10007, /Unix seconds:-3$/],
  ['a timestamp too old', { timestamp: NOW - 301 }, 10007, /5 minutes off:-2$/],
  ['a timestamp too new', { timestamp: NOW + 301 }, 10007, /5 minutes off:-2$/],
  ['a wrong key', { app: { ...IOS, appKey: 'other' } }, 10007, /Signature does not match:-3$/],
  ['a nonce that differs from the signed one', { headers: { 'x-iotvideo-nonce': '7' } }, 10007, /does not match:-3$/],
  ['an unknown access id', { app: { ...IOS, accessId: 'nobody' } }, 10901052, /AccessID/],
  ['an unknown app', { fields: { appId: 'nobody' } }, 10901052, /appId/],
  ['a wrong app token', { fields: { appToken: 'other' } }, 10901050, /appToken/],
  ['another app than the one that signed', { fields: { appId: 'android' } }, 10901050, /another app/],
  ['another action', { fields: { action: 'login' } }, 10003, /action/],
  ['a region in lower case', { fields: { regRegion: 'cn' } }, 10003, /regRegion/],
  ['a region of three letters', { fields: { regRegion: 'CHN' } }, 10003, /regRegion/],
];
test.each(refused)('refuses %s', async (_, change, code, msg) => {
  expect(await attempt(change)).toEqual({
    code,
    msg: expect.stringMatching(msg),
    requestId: expect.anything(),
    data: {},
  });
  expect(simulator.state()).toMatchObject({ succeeded: 0, refusalsByCode: { [code]: 1 } });
});

describe.each(['action', 'appId', 'appToken', 'unionId', 'uniqueId', 'regRegion'])('the field %s', (name) => {
  test.each([undefined, null, ''])('must not be %j', async (value) => {
    expect(await attempt({ fields: { [name]: value } })).toMatchObject({
      code: 10001,
      msg: expect.stringContaining(name),
    });
  });

  test('must be a string', async () => {
    expect(await attempt({ fields: { [name]: 1 } })).toMatchObject({ code: 10003, msg: expect.stringContaining(name) });
  });
});

test('checks the signature over the bytes as they were sent, not over the parsed JSON', async () => {
  const signature = expectedSignature(
    {
      host: new URL(simulator.url).host,
      accessId: 'ios',
      nonce: '6',
      timestamp: `${NOW}`,
      body: Buffer.from('{"a":1}'),
    },
    IOS.appKey,
  );
  const headers = { 'x-iotvideo-signature': signature };
  expect(await attempt({ nonce: '6', rawBody: '{"a": 1}', headers })).toMatchObject({ code: 10007 });
  expect(await attempt({ nonce: '6', rawBody: '{"a":1}', headers })).toMatchObject({ code: 10001 });
});

test('refuses a nonce for 10 minutes after its use, and accepts it afterwards', async () => {
  expect(await attempt({ nonce: '42' })).toMatchObject({ code: 0 });
  clock.advance(299_000);
  expect(await attempt({ nonce: '42' })).toMatchObject({ code: 10007, msg: expect.stringMatching(/used before:-3$/) });
  clock.advance(300_999);
  expect(await attempt({ nonce: '42', timestamp: NOW + 600 })).toMatchObject({ code: 10007 });
  clock.advance(1);
  expect(await attempt({ nonce: '42', timestamp: NOW + 600 })).toMatchObject({ code: 0 });
});

test('accepts the same nonce from different access ids', async () => {
  expect(await attempt({ nonce: '42' })).toMatchObject({ code: 0 });
  expect(await attempt({ nonce: '42', app: ANDROID })).toMatchObject({ code: 0 });
});

test('does not use up the nonce of a request with a wrong signature', async () => {
  await attempt({ nonce: '42', app: { ...IOS, appKey: 'other' } });
  expect(await attempt({ nonce: '42' })).toMatchObject({ code: 0 });
});

test.each(vectors)('accepts the vector for $host, nonce $nonce, over HTTP', async (vector) => {
  const { appId, appToken } = JSON.parse(vector.body) as { appId: string; appToken: string };
  clock.jump(vector.timestamp * 1_000 - clock.now());
  const vendor = await startVendorSimulator({
    apps: [{ appId, appToken, appKey: vector.appKey, accessId: vector.accessId }],
    clock,
  });
  try {
    const sent = request({
      port: vendor.port,
      host: '127.0.0.1',
      path: LOGIN_PATH,
      method: 'POST',
      headers: {
        Host: vector.host,
        'Content-Type': 'application/json',
        'X-IotVideo-AccessID': vector.accessId,
        'X-IotVideo-Nonce': vector.nonce,
        'X-IotVideo-Timestamp': vector.timestamp,
        'X-IotVideo-Signature': vector.signature,
      },
    });
    sent.end(vector.body);
    const [response] = await once(sent, 'response');
    expect(await json(response)).toMatchObject({ code: 0 });
  } finally {
    await vendor.close();
  }
});
