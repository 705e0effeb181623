import { createPublicKey, type KeyObject } from 'node:crypto';
import type { JWTVerifyGetKey } from 'jose';
import { type Clock, systemClock } from '../token/clock.ts';
import { remoteJwks } from './remote-jwks.ts';

/** What sessions are signed with: keys published at a URL, one public key (PEM, SPKI), or a shared secret (HMAC). */
export type JwtKey = { readonly jwksUrl: URL } | { readonly publicKeyPem: string } | { readonly secret: string };

export interface VerificationKey {
  readonly key: JWTVerifyGetKey | KeyObject | Uint8Array;
  /** Every JWS algorithm such a key may verify, and no other: a public key never serves as an HMAC secret. */
  readonly algorithms: readonly string[];
}

const HMAC = ['HS256', 'HS384', 'HS512'];
const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const ECDSA_OF_CURVE = new Map([
  ['prime256v1', 'ES256'],
  ['secp384r1', 'ES384'],
  ['secp521r1', 'ES512'],
]);
const EDDSA = 'EdDSA';

/** RFC 7518 §3.3. */
const RSA_MIN_BITS = 2048;
/** RFC 7518 §3.2, for the shortest of its hashes. */
const SECRET_MIN_BYTES = 32;

/** @throws Error that says what the key must be, when it is not. A JWKS URL is not fetched before the first session. */
export function verificationKey(source: JwtKey, clock: Clock = systemClock): VerificationKey {
  if ('jwksUrl' in source) {
    return { key: remoteJwks(source.jwksUrl, clock), algorithms: [...RSA, ...ECDSA_OF_CURVE.values(), EDDSA] };
  }
  if ('secret' in source) return { key: secretKey(source.secret), algorithms: HMAC };
  const key = publicKey(source.publicKeyPem);
  return { key, algorithms: algorithmsOf(key) };
}

function secretKey(secret: string): Uint8Array {
  const key = new TextEncoder().encode(secret);
  if (key.length >= SECRET_MIN_BYTES) return key;
  throw new Error(`The secret of the sessions must be at least ${SECRET_MIN_BYTES} bytes long (RFC 7518 §3.2)`);
}

function publicKey(pem: string): KeyObject {
  // Node would also derive a public key from a private one, which has no business here.
  if (pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) {
    try {
      return createPublicKey(pem);
    } catch {
      // Told below.
    }
  }
  throw new Error('The public key of the sessions must be a PEM that starts with -----BEGIN PUBLIC KEY-----');
}

function algorithmsOf(key: KeyObject): readonly string[] {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  const ecdsa = ECDSA_OF_CURVE.get(namedCurve);
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= RSA_MIN_BITS) return RSA;
  if (key.asymmetricKeyType === 'ed25519') return [EDDSA];
  if (ecdsa) return [ecdsa];
  throw new Error(
    `The public key of the sessions must be RSA of at least ${RSA_MIN_BITS} bits, EC on P-256, P-384 or P-521, or Ed25519`,
  );
}
