import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { SignJWT } from 'jose';
import { describe, expect, it, test } from 'vitest';
import { createKnownHeaders, keysIn, signatureCheck } from '../../../src/session/known-headers.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import type { SessionVerifier } from '../../../src/token/principal.ts';
import { ACCOUNT, claimsWith, jwtVerifier, newSigner, pemOf, SECRET, START_SECONDS, sharedSigner } from './sessions.ts';

const ASYMMETRIC = ['ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'EdDSA'];
const HMAC = ['HS256', 'HS384', 'HS512'];

/** A signer, and a verifier that has accepted one of its sessions. */
async function warmedUp(alg: string) {
  const key = HMAC.includes(alg) ? undefined : await sharedSigner(alg);
  const verifier = jwtVerifier(key ? { publicKeyPem: pemOf(key) } : { secret: SECRET });
  const signer = key ?? secretSigner(alg);
  await verifier.verify(await signer.sign({ sub: 'first' }));
  return { signer, verifier, pem: key ? pemOf(key) : '' };
}

function secretSigner(alg: string) {
  const key = new TextEncoder().encode(SECRET);
  const sign = (claims?: Record<string, unknown>) =>
    new SignJWT(claimsWith(claims)).setProtectedHeader({ alg }).sign(key);
  return { sign };
}

function keyWithLongExponent(): KeyObject {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const { e = '', d = '', ...numbers } = privateKey.export({ format: 'jwk' });
  return createPrivateKey({ key: { ...numbers, e: d, d: e, dp: e, dq: e }, format: 'jwk' });
}

/** The unionId, or the error as an app sees it. */
async function outcomeOf(verifier: SessionVerifier, session: string): Promise<unknown> {
  try {
    return (await verifier.verify(session)).unionId;
  } catch (error) {
    return error instanceof BrokerError ? [error.code, error.detail] : error;
  }
}

function edited(session: string, part: 0 | 1 | 2, edit: (text: string) => string): string {
  return session
    .split('.')
    .map((text, index) => (index === part ? edit(text) : text))
    .join('.');
}

/** Verified by jose in another thread. */
const SLOW = new Set(['ES384', 'ES512']);
const flipped = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1);

describe('a session with the header of an accepted one', () => {
  it.each([...ASYMMETRIC, ...HMAC].filter((alg) => !SLOW.has(alg)))('is accepted at once: %s', async (alg) => {
    const { signer, verifier } = await warmedUp(alg);
    expect(verifier.verify(await signer.sign())).toMatchObject({ unionId: ACCOUNT });
  });

  it.each([...SLOW])('is left to another thread if its signature takes long to verify: %s', async (alg) => {
    const { signer, verifier } = await warmedUp(alg);
    const verified = verifier.verify(await signer.sign());
    expect(verified).toBeInstanceOf(Promise);
    expect(await verified).toMatchObject({ unionId: ACCOUNT });
  });

  it.each([
    ['more than 2048 bits', () => generateKeyPairSync('rsa', { modulusLength: 3_072 }).privateKey],
    ['a long exponent, which takes 40 times as long', keyWithLongExponent],
  ])('is left to another thread if the RSA key has %s', async (_, makeKey) => {
    const key = makeKey();
    const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
    const verifier = jwtVerifier({ publicKeyPem: pem });
    const sign = () => new SignJWT(claimsWith({})).setProtectedHeader({ alg: 'RS256' }).sign(key);
    await verifier.verify(await sign());
    expect(verifier.verify(await sign())).toBeInstanceOf(Promise);
  });

  it.each([...ASYMMETRIC, ...HMAC])(
    'is refused with a wrong signature, an edited payload, no signature or more text: %s',
    async (alg) => {
      const { signer, verifier } = await warmedUp(alg);
      const session = await signer.sign();
      const forged = JSON.stringify(claimsWith({ sub: 'somebody-else' }));
      const wrong = [
        edited(session, 2, flipped),
        edited(session, 2, () => ''),
        edited(session, 2, (text) => text.slice(0, -4)),
        edited(session, 2, (text) => `${text}AAAA`),
        edited(session, 2, (text) => randomBytes(Buffer.from(text, 'base64url').length).toString('base64url')),
        edited(session, 1, () => Buffer.from(forged).toString('base64url')),
        edited(session, 1, flipped),
        `${session}.AAAA`,
        `${session}~`,
      ];
      for (const one of wrong) {
        expect(await outcomeOf(verifier, one)).toEqual(['session_invalid', expect.any(String)]);
      }
      const wrongSignature = ['session_invalid', 'The signature of the session is wrong'];
      expect(await outcomeOf(verifier, edited(session, 2, flipped))).toEqual(wrongSignature);
      expect(await verifier.verify(session)).toMatchObject({ unionId: ACCOUNT });
    },
  );

  it('is refused with a zero more in front of r and s, and with zeros only: ES256', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const check = signatureCheck('ES256', publicKey);
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
    const signature = sign('sha256', Buffer.from('session'), key);
    const [r, s] = [signature.subarray(0, signature.length / 2), signature.subarray(signature.length / 2)];
    const zero = Buffer.alloc(1);
    expect(check?.('session', Buffer.concat([r, s]))).toBe(true);
    expect(check?.('session', Buffer.alloc(signature.length))).toBe(false);
    expect(check?.('session', Buffer.concat([zero, r, zero, s]))).toBe(false);
  });

  it.each([{}, { exp: START_SECONDS }, { iss: 'other' }, { sub: 'm\u{fc}ller' }, { cnf: { jkt: 'x' } }])(
    'has the same outcome as without a known header: %j',
    async (claims) => {
      const { signer, verifier, pem } = await warmedUp('ES256');
      const session = await signer.sign(claims);
      expect(await outcomeOf(verifier, session)).toEqual(await outcomeOf(jwtVerifier({ publicKeyPem: pem }), session));
    },
  );

  it.each([
    ['utf8', '', ACCOUNT],
    ['utf8', '\u{feff}', ACCOUNT],
    ['latin1', '', ['session_invalid', 'The session is not a signed JWT']],
  ] as const)('is read as without a known header, in %s and after %j', async (encoding, mark, outcome) => {
    const key = await sharedSigner('ES256');
    const { verifier } = await warmedUp('ES256');
    const payload = `${mark}${JSON.stringify(claimsWith({ name: 'm\u{fc}ller' }))}`;
    const session = await key.signBytes(Buffer.from(payload, encoding));
    for (const one of [verifier, jwtVerifier({ publicKeyPem: pemOf(key) })]) {
      expect(await outcomeOf(one, session)).toEqual(outcome);
    }
  });
});

/** A key, and sessions that it signs, each with a header of its own. */
function numberedSigner() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const sessionWith = (kid: number) => {
    const signed = [{ alg: 'EdDSA', kid }, claimsWith()]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
  };
  return { publicKey, sessionWith };
}

test('a forged session is refused in this thread, unless another key may have signed it', () => {
  const { publicKey, sessionWith } = numberedSigner();
  const forgedWith = (keys: KeyObject[]) => {
    const headers = createKnownHeaders();
    const keySet = { keysFor: () => keys };
    headers.learn(sessionWith(1), { alg: 'EdDSA' }, keySet);
    return headers.payloadOf(edited(sessionWith(1), 2, flipped), keySet);
  };
  expect(forgedWith([publicKey])).toBe('forged');
  expect(forgedWith([publicKey, numberedSigner().publicKey])).toBeUndefined();
});

test('at most 64 headers are remembered', async () => {
  const { publicKey, sessionWith } = numberedSigner();
  const headers = createKnownHeaders();
  const keySet = { keysFor: () => [publicKey] };
  for (let kid = 0; kid < 64; kid += 1) headers.learn(sessionWith(kid), { alg: 'EdDSA' }, keySet);
  expect(String(headers.payloadOf(sessionWith(0), keySet))).toContain(ACCOUNT);
  headers.learn(sessionWith(64), { alg: 'EdDSA' }, keySet);
  expect(String(headers.payloadOf(sessionWith(64), keySet))).toContain(ACCOUNT);
  expect(headers.payloadOf(sessionWith(0), keySet)).toBeUndefined();
});

describe('a header that no session was accepted with', () => {
  it('goes to jose, although another header names the same key', async () => {
    const { signer, verifier } = await warmedUp('ES256');
    const [, payload, signature] = (await signer.sign()).split('.');
    const reordered = Buffer.from('{"alg":"ES256" }').toString('base64url');
    const waiting = verifier.verify(`${reordered}.${payload}.${signature}`);
    expect(waiting).toBeInstanceOf(Promise);
    await expect(waiting).rejects.toMatchObject({ code: 'session_invalid' });
  });

  it.each(HMAC)('never makes a public key the secret of %s', async (alg) => {
    for (const accepted of ['ES256', 'RS256']) {
      const { signer, verifier, pem } = await warmedUp(accepted);
      const signed = `${Buffer.from(JSON.stringify({ alg })).toString('base64url')}.${(await signer.sign()).split('.')[1]}`;
      const session = `${signed}.${createHmac(`sha${alg.slice(2)}`, pem)
        .update(signed)
        .digest('base64url')}`;
      expect(await outcomeOf(verifier, session)).toEqual(['session_invalid', expect.any(String)]);
      const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${signed.split('.')[1]}.`;
      expect(await outcomeOf(verifier, unsigned)).toEqual(['session_invalid', expect.any(String)]);
    }
  });
});

describe('the keys of a JWK Set that may have signed a session', () => {
  it('are those with its kid, or all without one, but for those that Node cannot use', async () => {
    const [one, other] = await Promise.all([newSigner('ES256', 'one'), newSigner('ES256', 'other')]);
    const keysFor = keysIn({ keys: [one.jwk, { kty: 'EC', kid: 'one' }, other.jwk] });
    const named = (kid: unknown) => keysFor(kid).map((key) => key.export({ format: 'jwk' })['x']);
    expect(named('one')).toEqual([one.jwk.x]);
    expect(named('other')).toEqual([other.jwk.x]);
    expect(named('none')).toEqual([]);
    for (const kid of [undefined, 7]) expect(named(kid)).toEqual([one.jwk.x, other.jwk.x]);
  });
});
