import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT, UnsecuredJWT } from 'jose';
import { expect, test } from 'vitest';
import type { Replica } from '../support/broker-service.ts';
import { type Fleet, startServices } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';
import { keysMatching } from '../support/redis-client.ts';

const ACCOUNT = 'account-of-alice';

/** RFC 6750 §3: the challenge names no error if the request had no session. */
const CHALLENGE = /^Bearer realm="[^"]+"$/;
const REFUSAL = /^Bearer realm="[^"]+", error="invalid_token"/;

/** A request with its `Authorization` header, and the expected error code. */
type Attempt = readonly [name: string, authorization: string | undefined, code: string];
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;
const invalid = (name: string, session: string): Attempt => [name, `Bearer ${session}`, 'session_invalid'];

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

test('a bad session gets 401, is never shown, and causes no login and no Redis key', async () => {
  const fleet = await startServices({ replicas: 1 });
  const { url, getToken } = fleet.broker(0);
  const [jwk] = JSON.parse((await plainRequest(fleet.cloud.jwksUrl)).body).keys;
  const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { issuer: iss, audience: aud } = fleet.cloud;
  const good = { iss, aud, sub: ACCOUNT, region: 'DE', exp: inSeconds(600) };
  /** `undefined` removes a claim. */
  const sign = (claims: Readonly<Record<string, unknown>>) => fleet.cloud.issueSession({ unionId: ACCOUNT, claims });
  const signedWith = (key: KeyObject | Uint8Array, alg: string) =>
    new SignJWT(good).setProtectedHeader({ alg, kid: jwk.kid }).sign(key);
  const attempts: Attempt[] = [
    ['expired', `Bearer ${await sign({ exp: inSeconds(-1) })}`, 'session_expired'],
    invalid('another issuer', await sign({ iss: 'https://elsewhere.example' })),
    invalid('another audience', await sign({ aud: 'another-service' })),
    invalid('no sub', await sign({ sub: undefined })),
    invalid('no exp', await sign({ exp: undefined })),
    invalid('an empty sub', await sign({ sub: '' })),
    invalid('a sub of 129 characters', await sign({ sub: 'x'.repeat(129) })),
    invalid('alg none', new UnsecuredJWT(good).encode()),
    // Everybody knows the text of the public key.
    invalid('HMAC, PEM', await signedWith(Buffer.from(pem), 'HS256')),
    invalid('HMAC, JWK', await signedWith(Buffer.from(JSON.stringify(jwk)), 'HS256')),
    invalid('the signature of another key', await signedWith(privateKey, 'ES256')),
    invalid('12 KB of noise', 'n0ise~'.repeat(2_000)),
    invalid('12 KB, well signed', await sign({ sub: 'x'.repeat(9_000) })),
    ['no header', undefined, 'session_missing'],
    ['Basic', `Basic ${Buffer.from(`${ACCOUNT}:password`).toString('base64')}`, 'session_missing'],
    ['a scheme alone', 'Bearer', 'session_missing'],
  ];
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

  // Only a good session causes a login and Redis keys.
  expect((await getToken(await fleet.session(ACCOUNT), 'phone')).status).toBe(200);
  expect(fleet.vendor.state().requests).toBe(1);
  expect(await keysOf(fleet)).not.toEqual([]);
});
