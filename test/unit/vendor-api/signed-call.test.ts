import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectedSignature } from '../../../src/simulator/login-verifier.ts';
import { newNonce, prepareLogin } from '../../../src/vendor-api/signed-call.ts';
import vectors from '../../fixtures/signature-vectors.json' with { type: 'json' };
import { anyText } from '../../support/any-text.ts';
import { readFile, tableAfter } from '../../support/documents.ts';

const APP = { name: 'ios', appId: 'id', appToken: 'token', appKey: 'key', accessId: 'access' };
const SUBJECT = { app: 'ios', unionId: 'union', uniqueId: 'phone' };
const PATH = '/openapi/custCloud/app/user/thirdCustLogin';

function prepare(domain: string, ids: { unionId?: string; uniqueId?: string; appKey?: string } = {}) {
  const { appKey = APP.appKey, ...rest } = ids;
  return prepareLogin({
    domain: new URL(domain),
    app: { ...APP, appKey },
    subject: { ...SUBJECT, ...rest },
    region: 'CN',
    nonce: 7,
    timestamp: 1_700_000_000,
  });
}

/** By the rules of the simulator, which are written independently of the code under test. */
function signatureFor(host: string, body: Buffer, appKey: string): string {
  return expectedSignature({ host, accessId: 'access', nonce: '7', timestamp: '1700000000', body }, appKey);
}

describe('a prepared login', () => {
  it('is tested with all 8 test vectors', () => expect(vectors).toHaveLength(8));

  it.each(vectors)('equals the test vector byte for byte, for nonce $nonce at $host', (vector) => {
    const fields = JSON.parse(vector.body);
    const login = prepareLogin({
      domain: new URL(`https://${vector.host}`),
      app: { ...fields, name: 'ios', appKey: vector.appKey, accessId: vector.accessId },
      subject: { app: 'ios', unionId: fields.unionId, uniqueId: fields.uniqueId },
      region: fields.regRegion,
      nonce: vector.nonce,
      timestamp: vector.timestamp,
    });
    expect(login.body.toString()).toBe(vector.body);
    expect(login.url.host).toBe(vector.host);
    expect(login.headers).toEqual({
      'Content-Type': 'application/json',
      'X-IotVideo-AccessID': vector.accessId,
      'X-IotVideo-Nonce': String(vector.nonce),
      'X-IotVideo-Timestamp': String(vector.timestamp),
      'X-IotVideo-Signature': vector.signature,
    });
    expect(login.stringToSign.split('\n')).toEqual([
      `Host:${vector.host}`,
      `Payload:${vector.payload}`,
      `X-IotVideo-AccessID:${vector.accessId}`,
      `X-IotVideo-Nonce:${vector.nonce}`,
      `X-IotVideo-Timestamp:${vector.timestamp}`,
    ]);
  });

  it('has the headers of docs/vendor-login.md', () => {
    const documented = tableAfter(readFile('docs/vendor-login.md'), 'header').map(([name]) => name);
    const { 'Content-Type': _, ...headers } = prepare('https://api.example.test').headers;
    expect(Object.keys(headers).map((name) => `\`${name}\``)).toEqual(documented);
  });

  it('signs any ids and keys, and sends them unchanged', () => {
    const text = fc.oneof(anyText(0), fc.constant('"😀\\\u2028\n'));
    fc.assert(
      fc.property(text, text, text, (unionId, uniqueId, appKey) => {
        const login = prepare('https://api.example.test', { unionId, uniqueId, appKey });
        expect(JSON.parse(login.body.toString())).toEqual({
          action: 'thirdCustLogin',
          appId: 'id',
          appToken: 'token',
          unionId,
          uniqueId,
          regRegion: 'CN',
        });
        expect(login.headers['X-IotVideo-Signature']).toBe(signatureFor(login.url.host, login.body, appKey));
      }),
    );
  });

  it.each([
    ['https://api.example.test', 'api.example.test'],
    ['https://API.example.test:443/', 'api.example.test'],
    ['http://api.example.test:80', 'api.example.test'],
    ['http://api.example.test:443', 'api.example.test:443'],
    ['https://api.example.test:8443', 'api.example.test:8443'],
    ['http://[::1]:8080', '[::1]:8080'],
  ])('to %s has a signature for the host %s', (domain, host) => {
    const login = prepare(domain);
    expect(login.url.host).toBe(host);
    expect(login.stringToSign.split('\n')[0]).toBe(`Host:${host}`);
    expect(login.headers['X-IotVideo-Signature']).toBe(signatureFor(host, login.body, APP.appKey));
  });

  it.each([
    ['https://api.example.test', `https://api.example.test${PATH}`],
    ['https://api.example.test/', `https://api.example.test${PATH}`],
    ['https://api.example.test/eu', `https://api.example.test/eu${PATH}`],
    ['https://api.example.test/eu/v2//?a=b#c', `https://api.example.test/eu/v2${PATH}`],
  ])('for the domain %s goes to %s', (domain, url) => expect(prepare(domain).url.href).toBe(url));
});

it('a nonce is a positive 31-bit integer, and rarely repeats', () => {
  const nonces = Array.from({ length: 1000 }, newNonce);
  expect(nonces.every((nonce) => Number.isInteger(nonce) && nonce >= 1 && nonce <= 2_147_483_646)).toBe(true);
  expect(new Set(nonces).size).toBeGreaterThan(990);
});
