import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import type { Replica } from '../support/broker-service.ts';
import { type Fleet, startServices } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { keysMatching } from '../support/redis-client.ts';

const ISSUER = 'https://accounts.example';
const AUDIENCE = 'sdk-token-broker';
const ACCOUNT = 'account-of-alice';
const SECRET = 'the-secret-that-sessions-are-signed-with';

/** RFC 6750 §3: the challenge names no error if the request had no session. */
const CHALLENGE = /^Bearer realm="[^"]+"$/;
const REFUSAL = /^Bearer realm="[^"]+", error="invalid_token"/;

/** A request with its `Authorization` header, and the expected error code. */
type Attempt = readonly [name: string, authorization: string | undefined, code: string];
/** `undefined` removes a claim. */
type Claims = Readonly<Record<string, unknown>>;
type Sign = (claims: Claims) => Promise<string>;

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;
const invalid = (name: string, session: string): Attempt => [name, `Bearer ${session}`, 'session_invalid'];

function goodClaims(): Claims {
  return { iss: ISSUER, aud: AUDIENCE, sub: ACCOUNT, region: 'DE', exp: inSeconds(600) };
}

function signer(key: KeyObject | Uint8Array, alg: string, kid?: string): Sign {
  return (claims) => new SignJWT(claims).setProtectedHeader({ alg, ...(kid && { kid }) }).sign(key);
}

/** A session with the signature of another key and the id of the right key. */
function forged(kid?: string): Promise<string> {
  return signer(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, 'ES256', kid)(goodClaims());
}

/** The bad sessions that exist with every kind of key. @param sign signs as the customer's cloud does */
async function wrongClaims(sign: Sign): Promise<Attempt[]> {
  const good = goodClaims();
  return [
    ['expired', `Bearer ${await sign({ ...good, exp: inSeconds(-1) })}`, 'session_expired'],
    invalid('another issuer', await sign({ ...good, iss: 'https://elsewhere.example' })),
    invalid('another audience', await sign({ ...good, aud: 'another-service' })),
    invalid('no sub', await sign({ ...good, sub: undefined })),
    invalid('no exp', await sign({ ...good, exp: undefined })),
    invalid('an empty sub', await sign({ ...good, sub: '' })),
    invalid('a sub of 129 characters', await sign({ ...good, sub: 'x'.repeat(129) })),
    invalid('alg none', new UnsecuredJWT(good).encode()),
  ];
}

/** Sessions signed with the text of the public key as an HMAC secret. Everybody knows that text. */
async function publicKeyAsSecret(pem: string, jwk: object, kid?: string): Promise<Attempt[]> {
  const sign = (text: string) => signer(Buffer.from(text), 'HS256', kid)(goodClaims());
  return [invalid('HMAC, PEM', await sign(pem)), invalid('HMAC, JWK', await sign(JSON.stringify(jwk)))];
}

/** The start and the end of each long part of the header. An answer must not contain them. */
function piecesOf(authorization = ''): string[] {
  const parts = authorization.split(/[ .]/).filter((part) => part.length >= 12);
  return [ACCOUNT, ...parts.flatMap((part) => [part.slice(0, 24), part.slice(-12)])];
}

async function keysOf({ keyPrefix }: Fleet<Replica>): Promise<string[]> {
  const keys = await keysMatching(`${keyPrefix}:*`);
  // Every replica writes these keys: what detects the loss of data in Redis, and what the replicas tell each other.
  const own = [`${keyPrefix}:{0}:changes`, `${keyPrefix}:{replicas}`];
  return keys.filter((key) => !own.includes(key));
}

/** Sends every attempt and then a good session. Only the good session may cause a login and Redis keys. */
async function expectRefused(fleet: Fleet<Replica>, attempts: readonly Attempt[], goodSession: string): Promise<void> {
  const { url, getToken } = fleet.broker(0);
  const answers = await Promise.all(
    attempts.map(async ([name, authorization, expected]) => {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await plainRequest(`${url}/sdk-token?uniqueId=phone`, { headers });
      const shown = answer.body + JSON.stringify(answer.headers);
      for (const piece of piecesOf(authorization)) expect(shown).not.toContain(piece);
      expect(answer.headers['www-authenticate']).toMatch(expected === 'session_missing' ? CHALLENGE : REFUSAL);
      const { code, status, retryable } = JSON.parse(answer.body);
      return [name, answer.status, status, answer.headers['content-type'], code, retryable];
    }),
  );
  expect(answers).toEqual(attempts.map(([name, , code]) => [name, 401, 401, 'application/problem+json', code, false]));
  expect(fleet.vendor.state().requests).toBe(0);
  expect(await keysOf(fleet)).toEqual([]);

  expect((await getToken(goodSession, 'phone')).status).toBe(200);
  expect(fleet.vendor.state().requests).toBe(1);
  expect(await keysOf(fleet)).not.toEqual([]);
}

const fleetWith = (env: Readonly<Record<string, string>>) => startServices({ replicas: 1, env });

describe('a bad session gets 401, is never shown, and causes no login and no Redis key', () => {
  test('with a JWKS URL', async () => {
    const fleet = await fleetWith({});
    const [jwk] = JSON.parse((await plainRequest(fleet.cloud.jwksUrl)).body).keys;
    const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString();
    const sign: Sign = (claims) => fleet.cloud.issueSession({ unionId: ACCOUNT, claims });
    const attempts: Attempt[] = [
      ...(await wrongClaims(sign)),
      ...(await publicKeyAsSecret(pem, jwk, jwk.kid)),
      invalid('forged', await forged(jwk.kid)),
      invalid('12 KB of noise', 'n0ise~'.repeat(2_000)),
      invalid('12 KB, well signed', await sign({ ...goodClaims(), sub: 'x'.repeat(9_000) })),
      ['no header', undefined, 'session_missing'],
      ['Basic', `Basic ${Buffer.from(`${ACCOUNT}:password`).toString('base64')}`, 'session_missing'],
      ['a scheme alone', 'Bearer', 'session_missing'],
    ];
    await expectRefused(fleet, attempts, await fleet.session(ACCOUNT));
  });

  test('with a public key', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const fleet = await fleetWith({ SESSION_JWT_JWKS_URL: '', SESSION_JWT_PUBLIC_KEY: pem });
    const sign = signer(privateKey, 'ES256');
    const hmac = await publicKeyAsSecret(pem, publicKey.export({ format: 'jwk' }));
    const attempts = [...(await wrongClaims(sign)), ...hmac, invalid('forged', await forged())];
    await expectRefused(fleet, attempts, await sign(goodClaims()));
  });

  test('with a shared secret', async () => {
    const fleet = await fleetWith({ SESSION_JWT_JWKS_URL: '', SESSION_JWT_SECRET: SECRET });
    const sign = signer(Buffer.from(SECRET), 'HS256');
    const otherSecret = signer(Buffer.from(SECRET.toUpperCase()), 'HS256');
    const attempts = [
      ...(await wrongClaims(sign)),
      invalid('another secret', await otherSecret(goodClaims())),
      invalid('a key pair', await forged()),
    ];
    await expectRefused(fleet, attempts, await sign(goodClaims()));
  });
});
