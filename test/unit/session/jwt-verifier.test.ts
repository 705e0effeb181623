import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { CompactSign } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createJwtVerifier } from '../../../src/session/jwt-verifier.ts';
import type { SessionVerifier } from '../../../src/token/principal.ts';
import { wellFormedText } from '../../support/any-text.ts';
import { TestClock } from '../../support/test-clock.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLAIM_NAMES,
  CLAIMS,
  claimsWith,
  expectRefused,
  ISSUER,
  jwtVerifier,
  newSigner,
  PRINCIPAL,
  pemOf,
  SECRET,
  type Signer,
  START_SECONDS,
  sharedSigner,
  signWithSecret,
  unsigned,
} from './sessions.ts';

let clock: TestClock;
let rsa: Signer;
let stranger: Signer;
let verifier: SessionVerifier;

beforeAll(async () => {
  [rsa, stranger] = await Promise.all([sharedSigner('RS256'), newSigner('RS256')]);
});

beforeEach(() => {
  clock = new TestClock();
  verifier = jwtVerifier({ publicKeyPem: pemOf(rsa) }, clock);
});

describe('a valid session', () => {
  it('has an account and an end', async () => {
    expect(await verifier.verify(await rsa.sign(CLAIMS))).toEqual(PRINCIPAL);
  });

  it('may have several audiences', async () => {
    const principal = await verifier.verify(await rsa.sign({ aud: ['somewhere-else', AUDIENCE] }));
    expect(principal.unionId).toBe(ACCOUNT);
  });
});

describe('a forged session is refused', () => {
  it.each(['none', 'None', 'NONE', ''])('without a signature, with alg "%s"', async (alg) => {
    await expectRefused(verifier, unsigned({ alg }), 'session_invalid');
    await expectRefused(jwtVerifier({ secret: SECRET }), unsigned({ alg }), 'session_invalid');
  });

  it('with the signature of another key', async () => {
    const error = await expectRefused(verifier, await stranger.sign(), 'session_invalid');
    expect(error.detail).toBe('The signature of the session is wrong');
  });

  it('with the public key as the HMAC secret', async () => {
    const pem = pemOf(rsa);
    for (const secret of [pem, pem.trim(), String(rsa.jwk.n)]) {
      const error = await expectRefused(verifier, await signWithSecret(secret), 'session_invalid');
      expect(error.detail).toBe('The session is signed with an algorithm that is not allowed');
    }
  });

  it('with an algorithm that fits the key but is not configured', async () => {
    const strict = jwtVerifier({ publicKeyPem: pemOf(rsa) }, clock, { algorithms: ['PS256'] });
    await expectRefused(strict, await rsa.sign(), 'session_invalid');
  });

  it('with a critical extension', async () => {
    const session = unsigned(
      { alg: 'RS256', crit: ['https://example.com/x'], 'https://example.com/x': 1 },
      'c2lnbmF0dXJl',
    );
    const error = await expectRefused(verifier, session, 'session_invalid');
    expect(error.detail).toBe('The session requires a JWT extension that is not supported');
  });

  it('if any character of it is changed', async () => {
    const session = await rsa.sign();
    // base64url ignores some bits of the last character.
    const position = fc.nat({ max: session.length - 2 });
    await fc.assert(
      fc.asyncProperty(position, fc.constantFrom('A', 'z', '0', '_', '.', ' ', 'é'), async (at, character) => {
        fc.pre(session[at] !== character);
        await expectRefused(verifier, session.slice(0, at) + character + session.slice(at + 1), 'session_invalid');
      }),
    );
  });
});

describe('a session of any issuer or audience', () => {
  const key = { secret: SECRET };
  const signed = (claims: object) => signWithSecret(SECRET, 'HS256', {}, claimsWith({ ...claims }));
  const expected = { iss: ISSUER, aud: AUDIENCE };

  it.each([
    ['iss', { key, audience: AUDIENCE }],
    ['aud', { key, issuer: ISSUER }],
  ] as const)('is accepted whatever its %s, and only that claim is not looked at', async (name, options) => {
    const verifier = createJwtVerifier({ ...options, claims: CLAIM_NAMES, clock });
    for (const value of [undefined, 'other', ['other'], 7]) {
      expect((await verifier.verify(await signed({ ...expected, [name]: value }))).unionId).toBe(ACCOUNT);
    }
    const other = name === 'iss' ? 'aud' : 'iss';
    await expectRefused(verifier, await signed({ [other]: 'other' }), 'session_invalid');
  });
});

describe('a session with wrong claims is refused', () => {
  it.each([
    ['iss', { iss: 'https://somebody-else.example' }, 'has a wrong value'],
    ['iss', { iss: undefined }, 'is missing'],
    ['aud', { aud: 'another-app' }, 'has a wrong value'],
    ['aud', { aud: undefined }, 'is missing'],
    ['exp', { exp: undefined }, 'is missing'],
    ['iat', { iat: '1767225595' }, 'must be a number'],
  ])('%s: %j', async (claim, claims, wrong) => {
    const error = await expectRefused(verifier, await rsa.sign(claims), 'session_invalid');
    expect(error.detail).toBe(`The session's claim ${claim} ${wrong}`);
  });

  it('and a session that is forged and expired counts as forged', async () => {
    await expectRefused(verifier, await stranger.sign({ exp: START_SECONDS - 1 }), 'session_invalid');
  });
});

describe('a text that is not a session is refused', () => {
  it('if it has more than 8192 characters, before it is parsed', async () => {
    const details = [8_192, 8_193].map(async (length) => {
      return (await expectRefused(verifier, 'x'.repeat(length), 'session_invalid')).detail;
    });
    const tooLong = 'A session must have at most 8192 characters';
    expect(await Promise.all(details)).toEqual(['The session is not a signed JWT', tooLong]);
  });

  it.each(['', 'text', 'a.b', 'a.b.c', 'a.b.c.d'])('if it is %j, and the detail says so', async (session) => {
    const error = await expectRefused(verifier, session, 'session_invalid');
    expect(error.detail).toBe('The session is not a signed JWT');
    expect(error.sessionFault).toBe('malformed');
  });

  it('but counts as a session if it is a signed JWT, whoever signed it', async () => {
    const sessions = [
      stranger.sign(),
      stranger.sign({ iss: 'https://somebody-else.example' }),
      rsa.sign({ iss: 'https://somebody-else.example' }),
      rsa.sign({ padding: 'p'.repeat(8_192) }),
    ];
    for (const session of await Promise.all(sessions)) {
      expect((await expectRefused(verifier, session, 'session_invalid')).sessionFault).not.toBe('malformed');
    }
  });

  it('if it is any other text', async () => {
    const segment = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.json().map((json) => btoa(encodeURI(json))),
    );
    const noise = fc.oneof(
      wellFormedText(),
      fc.array(segment, { maxLength: 6 }).map((segments) => segments.join('.')),
    );
    await fc.assert(
      fc.asyncProperty(noise, async (session) => {
        await expectRefused(verifier, session, 'session_invalid');
      }),
    );
  });

  it('if it is signed but has no claims', async () => {
    const shared = jwtVerifier({ secret: SECRET });
    const latin1 = Buffer.from(JSON.stringify(claimsWith({ sub: 'm\xfcller' })), 'latin1');
    for (const payload of [...['[]', '"text"', 'null', '{', ''].map((text) => Buffer.from(text)), latin1]) {
      const signer = new CompactSign(payload).setProtectedHeader({ alg: 'HS256' });
      const error = await expectRefused(shared, await signer.sign(Buffer.from(SECRET)), 'session_invalid');
      expect(error.detail).toBe('The session is not a signed JWT');
    }
  });

  it('if its payload is not encoded (RFC 7797)', async () => {
    const header = Buffer.from('{"alg":"HS256","b64":false,"crit":["b64"]}').toString('base64url');
    const payload = JSON.stringify({ ...claimsWith(), iss: undefined }).replaceAll('.', '');
    const signature = createHmac('sha256', SECRET).update(`${header}.${payload}`).digest('base64url');
    const error = await expectRefused(
      jwtVerifier({ secret: SECRET }),
      `${header}.${payload}.${signature}`,
      'session_invalid',
    );
    expect(error.detail).toBe('The session is not a signed JWT');
  });
});

describe('the type of a session', () => {
  const signWith = (typ: unknown) => signWithSecret(SECRET, 'HS256', { typ });

  it.each(['JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'Application/JWT'])('may be %j', async (typ) => {
    expect((await jwtVerifier({ secret: SECRET }).verify(await signWith(typ))).unionId).toBe(ACCOUNT);
  });

  it.each(['', 'logout+jwt', 'JWTs', 'xJWT', 'at+application/jwt', 7, null, ['JWT']])('is not %j', async (typ) => {
    const error = await expectRefused(jwtVerifier({ secret: SECRET }), await signWith(typ), 'session_invalid');
    expect(error.detail).toBe('The header parameter typ of the session must be JWT or at+jwt if it is present');
  });
});
