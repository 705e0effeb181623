import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CheckResult } from '../../../src/commands/checks/check-result.ts';
import { checkSessions } from '../../../src/commands/checks/sessions.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { json, RecordingServer } from '../session/recording-server.ts';
import { AUDIENCE, CLAIM_NAMES, ISSUER, newSigner } from '../session/sessions.ts';

let server: RecordingServer;
let url: URL;
/** The address of the server without its query, as the results show it. */
let shown: string;

beforeEach(async () => {
  server = new RecordingServer(json({}));
  await server.start();
  url = new URL('/probe?tenant=7', server.origin);
  shown = `${server.origin}/probe`;
});

afterEach(() => server.stop());

function answerWith(status: number, body = '{}'): void {
  server.answer = (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', location: '/elsewhere' }).end(body);
}

/** The result as one line, without the fix. */
function lineOf({ level, name, detail }: CheckResult): string {
  return `${level} ${name}: ${detail}`;
}

const common = { claims: CLAIM_NAMES, cacheSeconds: 30 };

describe('the check of published keys', () => {
  const check = async (algorithms: readonly string[]) => {
    const options = { key: { jwksUrl: url }, issuer: ISSUER, audience: AUDIENCE, algorithms, ...common };
    return (await checkSessions({ mode: 'jwt', ...options }, systemClock)).map(lineOf);
  };

  it('says how many there are, and the algorithms that at least one key supports', async () => {
    const [rsa, ecdsa, edwards] = await Promise.all([
      newSigner('RS256', 'first'),
      newSigner('ES384', 'second'),
      newSigner('EdDSA', 'third'),
    ]);
    // Without `alg`, an RSA key supports every RSA algorithm.
    const { alg: _, ...anyRsa } = rsa.jwk;
    server.answer = json({ keys: [anyRsa, ecdsa.jwk, edwards.jwk] });
    expect(await check(['RS256', 'PS512', 'ES256', 'ES384', 'EdDSA', 'HS256'])).toEqual([
      `ok session keys: ${shown} publishes 3 keys, usable for RS256, PS512, ES384, EdDSA`,
    ]);
    expect(server.received).toMatchObject([
      { method: 'GET', url: '/probe?tenant=7', headers: { accept: 'application/json, application/jwk-set+json' } },
    ]);
  });

  it('also tries keys without a kid', async () => {
    const nameless = await newSigner('ES256');
    server.answer = json({ keys: [nameless.jwk] });
    expect(await check(['ES256', 'RS256'])).toEqual([`ok session keys: ${shown} publishes 1 key, usable for ES256`]);
  });

  it('fails if no key supports the algorithms, and counts such keys', async () => {
    server.answer = json({ keys: [null, 1, {}, { kty: 'RSA', n: '!', e: 'AQAB', kid: 'broken' }] });
    expect(await check(['RS256'])).toEqual([`FAIL session keys: ${shown} publishes 4 keys, but none for RS256`]);
    server.answer = json({ keys: [] });
    expect(await check(['RS256'])).toEqual([`FAIL session keys: ${shown} publishes 0 keys, but none for RS256`]);
  });

  it.each(['<html>', '', 'null', '1', '"keys"', '[]', '{}', '{"keys":{}}', '{"keys":null}'])(
    'fails if the answer is %j',
    async (body) => {
      answerWith(200, body);
      expect(await check(['RS256'])).toEqual([
        `FAIL session keys: ${shown} answers with something else instead of a JWK Set, {"keys":[…]}`,
      ]);
    },
  );

  it.each([302, 404, 500])('fails if the status is %i', async (status) => {
    answerWith(status, '{"keys":[]}');
    expect(await check(['RS256'])).toEqual([
      `FAIL session keys: ${shown} answers with HTTP ${status} instead of a JWK Set, {"keys":[…]}`,
    ]);
  });
});

describe('the check of the introspection endpoint', () => {
  const check = async () => {
    const client = { clientId: 'broker', clientSecret: 'a secret', audience: AUDIENCE };
    return (await checkSessions({ mode: 'introspection', url, ...client, ...common }, systemClock)).map(lineOf);
  };

  it('succeeds if a token that was never issued is inactive, and fails if it is active', async () => {
    server.answer = json({ active: false });
    expect(await check()).toEqual([`ok introspection: ${shown} says that an invented token is inactive`]);
    server.answer = json({ active: true });
    expect(await check()).toEqual([
      `FAIL introspection: ${shown} says that an invented token is active: it would accept any token`,
    ]);
  });

  it('sends another token each time', async () => {
    server.answer = json({ active: false });
    await check();
    await check();
    const tokens = server.received.map(({ body }) => new URLSearchParams(body).get('token'));
    expect(tokens).toEqual([expect.stringMatching(/^made-up-.{36}$/), expect.stringMatching(/^made-up-.{36}$/)]);
    expect(new Set(tokens).size).toBe(2);
  });

  it('fails with the reason, not with the error for apps', async () => {
    answerWith(401, '{"active":false}');
    expect(await check()).toEqual([
      `FAIL introspection: ${shown} refuses the client id and secret of the broker (HTTP 401)`,
    ]);
    answerWith(200, '{"active":"yes"}');
    expect(await check()).toEqual([
      `FAIL introspection: ${shown} answers with something else instead of JSON as in RFC 7662`,
    ]);
  });
});

describe('the check of a session server that gets the headers of the app', () => {
  const check = async () => (await checkSessions({ mode: 'forward', url, ...common }, systemClock)).map(lineOf);

  it.each([
    [200, `FAIL session server: URL answers 200 to a request without a session: anyone could get in`],
    [302, `FAIL session server: URL answers 302 to a request without a session`],
    [401, `ok session server: URL refuses a request without a session (401)`],
    [503, `FAIL session server: URL answers 503 to a request without a session`],
  ])('sends it no session, and judges its status %i', async (status, line) => {
    answerWith(status);
    expect(await check()).toEqual([line.replace('URL', shown)]);
    expect(server.received).toHaveLength(1);
    expect(server.received[0]).toMatchObject({ method: 'GET', headers: { accept: 'application/json' } });
    expect(server.received[0]?.headers).not.toHaveProperty('authorization');
    expect(server.received[0]?.headers).not.toHaveProperty('cookie');
  });

  it('fails if the server cannot be reached', async () => {
    await server.stop();
    expect(await check()).toEqual([expect.stringMatching(/^FAIL session server: nothing listens at /)]);
  });
});
