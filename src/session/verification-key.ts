import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import type { FlattenedJWSInput, JWTVerifyGetKey } from 'jose';
import { flattenedVerify } from 'jose/jws/flattened/verify';
import { systemClock } from '../token/clock.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import { ExplainedError } from '../token/text.ts';
import type { KeySet } from './known-headers.ts';
import { publishedKeys } from './published-keys.ts';
import type { SessionServerAccess } from './session-server.ts';

/**
 * Keys published at a URL, a public key (PEM, SPKI) or a shared secret (HMAC). A text may hold a second PEM, or a
 * second secret on a line of its own. Both verify, so that the customer cloud can replace one.
 */
export type JwtKey = { readonly jwksUrl: URL } | { readonly publicKeyPem: string } | { readonly secret: string };

export interface VerificationKey {
  /** Finds the key of a session. */
  readonly find: JWTVerifyGetKey;
  /** The key set that holds the keys found now. Another object after any change; `undefined` if it may change now. */
  readonly current: () => KeySet | undefined;
  /** All JWS algorithms that the key may verify. A public key is never used as an HMAC secret. */
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
/** RFC 7518 §3.2, for the shortest hash (HS256). */
const SECRET_MIN_BYTES = 32;
/** The old one and the new one. Each key makes a made-up session more expensive to refuse. */
const MAX_KEYS = 2;
const AFTER_PEM = /(?<=-----END PUBLIC KEY-----)\s+/;

/** A JWKS URL is not fetched before the first session. @throws ExplainedError that describes the required key */
export function verificationKey(source: JwtKey, access: SessionServerAccess = { clock: systemClock }): VerificationKey {
  if ('jwksUrl' in source) {
    return { ...publishedKeys(source.jwksUrl, access), algorithms: [...RSA, ...ECDSA_OF_CURVE.values(), EDDSA] };
  }
  const keys =
    'secret' in source
      ? source.secret.split(/\r?\n/).map(secretKey)
      : source.publicKeyPem.trim().split(AFTER_PEM).map(publicKey);
  if (keys.length > MAX_KEYS) throw new ExplainedError(SESSION_REASONS.tooManyKeys(MAX_KEYS));
  const algorithms = [...new Set(keys.flatMap((key) => algorithmsOf(key)))];
  const keySet = { keysFor: () => keys };
  return { find: ({ alg }, session) => signerAmong(keys, alg, session), current: () => keySet, algorithms };
}

/**
 * The key that has signed the session, else the last possible one: a session does not say which of two has signed it.
 * Slow signatures are checked in another thread.
 * @param algorithm one of at least one key: jose has checked it
 */
async function signerAmong(
  keys: readonly KeyObject[],
  algorithm: string,
  session: FlattenedJWSInput,
): Promise<KeyObject> {
  const [first, last] = keys.filter((key) => algorithmsOf(key).includes(algorithm)) as [KeyObject, KeyObject?];
  if (!last) return first;
  return flattenedVerify(session, first).then(
    () => first,
    () => last,
  );
}

function secretKey(secret: string): KeyObject {
  const key = Buffer.from(secret);
  if (key.length >= SECRET_MIN_BYTES) return createSecretKey(key);
  throw new ExplainedError(SESSION_REASONS.shortSecret(SECRET_MIN_BYTES));
}

function publicKey(pem: string): KeyObject {
  // Node would also derive a public key from a private key. A private key must not be in this setting.
  if (pem.startsWith('-----BEGIN PUBLIC KEY-----')) {
    try {
      return createPublicKey(pem);
    } catch {
      // The error below covers this case too.
    }
  }
  throw new ExplainedError(SESSION_REASONS.noPem);
}

function algorithmsOf(key: KeyObject): readonly string[] {
  if (key.type === 'secret') return HMAC;
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  const ecdsa = ECDSA_OF_CURVE.get(namedCurve);
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= RSA_MIN_BITS) return RSA;
  if (key.asymmetricKeyType === 'ed25519') return [EDDSA];
  if (ecdsa) return [ecdsa];
  throw new ExplainedError(SESSION_REASONS.unfitPublicKey(RSA_MIN_BITS));
}
