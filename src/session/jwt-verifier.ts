import { createPublicKey, type KeyObject } from 'node:crypto';
import type { ExportedJWKSCache, JWKSCacheInput, JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose';
import * as errors from 'jose/errors';
import { createRemoteJWKSet, customFetch, jwksCache } from 'jose/jwks/remote';
import { jwtVerify } from 'jose/jwt/verify';
import { type Clock, systemClock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { type ClaimNames, principalFrom } from './claims.ts';
import { boundedFetch, checkUnavailable, UnexpectedStatus } from './session-server.ts';

const MAX_BYTES = 1_048_576;
/**
 * A session naming an unknown key may cause no more than one fetch in this time, so a new key may be refused for as
 * long. Keys past their age are asked for as often, in vain.
 */
const COOLDOWN_MS = 5_000;
/** How long a key that was withdrawn may still be believed. */
const MAX_AGE_MS = 600_000;
/** The same while the keys cannot be fetched anew. */
const MAX_AGE_UNREACHABLE_MS = 3_600_000;

/** The keys published at `url` (RFC 7517 §5), fetched when first needed. Redirects are not followed. */
function remoteJwks(url: URL, clock: Clock): JWTVerifyGetKey {
  const known: Partial<ExportedJWKSCache> = {};
  let askAgainAt = 0;
  const keys = createRemoteJWKSet(url, {
    cooldownDuration: COOLDOWN_MS,
    cacheMaxAge: MAX_AGE_UNREACHABLE_MS,
    [jwksCache]: known as JWKSCacheInput,
    [customFetch]: fetchJwks,
  });

  const renew = async (): Promise<void> => {
    const now = clock.now();
    if (known.uat === undefined || now < known.uat + MAX_AGE_MS) return;
    if (!keys.reloading && now < askAgainAt) return;
    askAgainAt = now + COOLDOWN_MS;
    await keys.reload().catch(() => undefined);
  };
  return async (header, token) => {
    await renew();
    return keys(header, token);
  };
}

/** @throws UnexpectedStatus, Error when it cannot be had */
export async function fetchJwks(url: string | URL, request: RequestInit): Promise<Response> {
  const answer = await boundedFetch(url, request, MAX_BYTES);
  if (answer.status !== 200) throw new UnexpectedStatus('The JWKS URL', answer.status);
  return answer;
}

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

export interface JwtVerifierOptions {
  readonly key: JwtKey;
  readonly issuer: string;
  /** A session must be meant for one of these. */
  readonly audience: string | readonly string[];
  /** JWS algorithms (RFC 7518 §3.1) to accept; default: all that fit the key. */
  readonly algorithms?: readonly string[] | undefined;
  readonly claims: ClaimNames;
  readonly clock: Clock;
}

const SESSION_MAX_LENGTH = 8_192;

/** The refusals: what a session itself can be blamed for, by jose's code. */
const REFUSALS: Readonly<Record<string, string>> = {
  [errors.JWSInvalid.code]: 'The session is not a signed JWT',
  [errors.JWTInvalid.code]: 'The session is not a signed JWT',
  [errors.JOSENotSupported.code]: 'The session needs a JWT extension that is not supported',
  [errors.JOSEAlgNotAllowed.code]: 'The session is signed with an algorithm that is not allowed here',
  [errors.JWKSNoMatchingKey.code]: 'The session is signed with a key that is not known here',
  [errors.JWKSMultipleMatchingKeys.code]: 'The session must name its key in its header kid, as several are in use',
  [errors.JWSSignatureVerificationFailed.code]: 'The signature of the session is wrong',
};

/** Sessions that are signed JWTs (RFC 7519) of one issuer, for this audience, with an `exp` that is in the future. */
export class JwtVerifier implements SessionVerifier {
  readonly #key: VerificationKey['key'];
  readonly #pinned: JWTVerifyOptions;
  readonly #claims: ClaimNames;
  readonly #clock: Clock;

  /** @throws Error that says what is allowed, when the key or an algorithm cannot be used */
  constructor(options: JwtVerifierOptions) {
    const { clock } = options;
    const { key, algorithms } = verificationKey(options.key, clock);
    this.#key = key;
    this.#pinned = {
      issuer: options.issuer,
      audience: [options.audience].flat(),
      algorithms: fitting(options.algorithms ?? algorithms, algorithms),
      requiredClaims: ['exp'],
      clockTolerance: 0,
      // Read at each check; a copy of the options with the date in it would cost more than the check of all claims.
      get currentDate() {
        return new Date(clock.now());
      },
    };
    this.#claims = options.claims;
    this.#clock = clock;
  }

  async verify(session: string): Promise<Principal> {
    if (session.length > SESSION_MAX_LENGTH) {
      throw new BrokerError('session_invalid', { detail: `A session has at most ${SESSION_MAX_LENGTH} characters` });
    }
    let claims: JWTPayload;
    try {
      claims = (await jwtVerify(session, this.#key, this.#pinned)).payload;
    } catch (error) {
      throw brokerErrorFrom(error);
    }
    const expiresAt = (claims.exp ?? 0) * 1_000;
    // jose compares whole seconds, and keys may have taken a while to arrive.
    if (expiresAt <= this.#clock.now()) throw new BrokerError('session_expired');
    return principalFrom(claims, this.#claims, expiresAt);
  }
}

function fitting(chosen: readonly string[], allowed: readonly string[]): string[] {
  if (chosen.length > 0 && chosen.every((algorithm) => allowed.includes(algorithm))) return [...chosen];
  throw new Error(`The algorithms of the sessions must be among those that fit their key: ${allowed.join(', ')}`);
}

/** What jose threw, without its text and its payload: they may hold parts of the session. */
function brokerErrorFrom(error: unknown): BrokerError {
  if (error instanceof errors.JWTExpired) return new BrokerError('session_expired');
  if (error instanceof errors.JWTClaimValidationFailed) {
    const wrong = error.reason === 'missing' ? 'is missing' : 'is not what it must be here';
    return new BrokerError('session_invalid', { detail: `The session's claim ${error.claim} ${wrong}` });
  }
  const detail = error instanceof errors.JOSEError ? REFUSALS[error.code] : undefined;
  if (detail) return new BrokerError('session_invalid', { detail });
  // Keys that cannot be had or used are no verdict on the session.
  return checkUnavailable(error);
}
