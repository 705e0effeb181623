import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probeForward, probeIntrospection, probeJwks } from '../../../src/session/session-probe.ts';
import { UnexpectedStatus } from '../../../src/session/session-server.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { json, RecordingServer } from './recording-server.ts';
import { CLAIM_NAMES, newSigner } from './sessions.ts';

let server: RecordingServer;
let url: URL;

beforeEach(async () => {
  server = new RecordingServer(json({}));
  await server.start();
  url = new URL('/probe?tenant=7', server.origin);
});

afterEach(() => server.stop());

function answerWith(status: number, body = '{}'): void {
  server.answer = (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', location: '/elsewhere' }).end(body);
}

async function errorOf(probe: Promise<unknown>): Promise<unknown> {
  return probe.then(
    () => expect.fail('the probe did not fail'),
    (error: unknown) => error,
  );
}

describe('a probe of published keys', () => {
  it('returns their number, and the algorithms that at least one key supports', async () => {
    const [rsa, ecdsa, edwards] = await Promise.all([
      newSigner('RS256', 'first'),
      newSigner('ES384', 'second'),
      newSigner('EdDSA', 'third'),
    ]);
    // Without `alg`, an RSA key supports every RSA algorithm.
    const { alg: _, ...anyRsa } = rsa.jwk;
    server.answer = json({ keys: [anyRsa, ecdsa.jwk, edwards.jwk] });
    const algorithms = ['RS256', 'PS512', 'ES256', 'ES384', 'EdDSA', 'HS256'];
    expect(await probeJwks(url, algorithms, systemClock)).toEqual({
      keys: 3,
      algorithms: ['RS256', 'PS512', 'ES384', 'EdDSA'],
    });
    expect(server.received).toMatchObject([
      { method: 'GET', url: '/probe?tenant=7', headers: { accept: 'application/json, application/jwk-set+json' } },
    ]);
  });

  it('also tries keys without a kid', async () => {
    const nameless = await newSigner('ES256');
    server.answer = json({ keys: [nameless.jwk] });
    expect(await probeJwks(url, ['ES256', 'RS256'], systemClock)).toEqual({ keys: 1, algorithms: ['ES256'] });
  });

  it('counts keys that support no algorithm', async () => {
    server.answer = json({ keys: [null, 1, {}, { kty: 'RSA', n: '!', e: 'AQAB', kid: 'broken' }] });
    expect(await probeJwks(url, ['RS256'], systemClock)).toEqual({ keys: 4, algorithms: [] });
    server.answer = json({ keys: [] });
    expect(await probeJwks(url, ['RS256'], systemClock)).toEqual({ keys: 0, algorithms: [] });
  });

  it.each(['<html>', '', 'null', '1', '"keys"', '[]', '{}', '{"keys":{}}', '{"keys":null}'])(
    'fails if the answer is %j',
    async (body) => {
      answerWith(200, body);
      const error = await errorOf(probeJwks(url, ['RS256'], systemClock));
      expect(error).toBeInstanceOf(TypeError);
      expect(String(error)).toContain('The answer is not a JWK Set');
    },
  );

  it.each([302, 404, 500])('fails if the status is %i', async (status) => {
    answerWith(status, '{"keys":[]}');
    const error = await errorOf(probeJwks(url, ['RS256'], systemClock));
    expect(error).toBeInstanceOf(UnexpectedStatus);
    expect(error).toMatchObject({ status, message: `The JWKS URL answered ${status} instead of 200` });
  });
});

describe('a probe of the introspection endpoint', () => {
  const probe = () =>
    probeIntrospection({ url, clientId: 'broker', clientSecret: 'a secret', claims: CLAIM_NAMES }, systemClock);

  it.each([false, true])('returns whether a token that was never issued is active: %s', async (active) => {
    server.answer = json({ active });
    expect(await probe()).toBe(active);
  });

  it('sends another token each time', async () => {
    server.answer = json({ active: false });
    await probe();
    await probe();
    const tokens = server.received.map(({ body }) => new URLSearchParams(body).get('token'));
    expect(tokens).toEqual([expect.stringMatching(/^made-up-.{36}$/), expect.stringMatching(/^made-up-.{36}$/)]);
    expect(new Set(tokens).size).toBe(2);
  });

  it('fails with the reason, not with the error for apps', async () => {
    answerWith(401, '{"active":false}');
    const refused = await errorOf(probe());
    expect(refused).toBeInstanceOf(UnexpectedStatus);
    expect(refused).toMatchObject({ status: 401, message: 'The introspection URL answered 401 instead of 200' });
    answerWith(200, '{"active":"yes"}');
    const malformed = await errorOf(probe());
    expect(malformed).toBeInstanceOf(Error);
    expect(malformed).not.toBeInstanceOf(BrokerError);
    expect(String(malformed)).toMatch(/The introspection URL: ./);
  });
});

describe('a probe of a session server that gets the headers of the app', () => {
  it.each([200, 302, 401, 503])('returns the status of the answer: %i', async (status) => {
    answerWith(status);
    expect(await probeForward(url, systemClock)).toBe(status);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]).toMatchObject({ method: 'GET', headers: { accept: 'application/json' } });
    expect(server.received[0]?.headers).not.toHaveProperty('authorization');
    expect(server.received[0]?.headers).not.toHaveProperty('cookie');
  });

  it('fails if the server cannot be reached', async () => {
    await server.stop();
    expect(await errorOf(probeForward(url, systemClock))).toBeInstanceOf(Error);
  });
});
