import { isUtf8 } from 'node:buffer';
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import type { FlattenedJWSInput, JSONWebKeySet, JWK, JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import { createLocalJWKSet } from 'jose/jwks/local';
import { compactVerify } from 'jose/jws/compact/verify';
import { flattenedVerify } from 'jose/jws/flattened/verify';
import { type Clock, systemClock, withTimeout } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { type ClaimNames, parseClaims, principalFrom, requireAccessToken } from './claims.ts';
import { type KeySet, KnownHeaders, keysIn } from './known-headers.ts';
import {
  boundedFetch,
  noteContact,
  type SessionServerAccess,
  sessionCheckUnavailable,
  UnexpectedStatus,
} from './session-server.ts';

const MAX_JWKS_BYTES = 1_048_576;
/** jose looks at each key for a session with an unknown one. */
const MAX_PUBLISHED_KEYS = 100;
/**
 * The keys are fetched at most once in this time, whether the fetch succeeds or fails. So a new key may be refused for
 * as long.
 */
const COOLDOWN_MS = 5_000;
/** The same without usable keys, because no session is accepted until a fetch succeeds. */
const COOLDOWN_WITHOUT_KEYS_MS = 2_000;
/** How long a withdrawn key may still be accepted. */
const MAX_AGE_MS = 600_000;
/** The same while the JWKS URL cannot be reached. */
const MAX_AGE_UNREACHABLE_MS = 3_600_000;
/** How long a session with a known key waits for newer keys after a fetch has failed. */
const WAIT_AFTER_FAILURE_MS = 100;

const ACCEPT_JSON = { headers: { accept: 'application/json, application/jwk-set+json' } };

/**
 * Fetches the keys published at `url`. Redirects are not followed. An entry that is no JSON object is left out, so that one
 * mistake does not disable the other keys (RFC 7517 §5).
 * @throws UnexpectedStatus; TypeError if the answer is not a JWK Set; RangeError if it has more than 1 MiB or 100 keys;
 *   Error if the keys cannot be fetched
 */
export async function fetchJwks(url: URL, access: SessionServerAccess): Promise<JSONWebKeySet> {
  const answer = await boundedFetch(url, ACCEPT_JSON, access, MAX_JWKS_BYTES);
  if (answer.status !== 200) throw new UnexpectedStatus('The JWKS URL', answer.status);
  const jwks: unknown = await answer.json().catch(() => undefined);
  if (typeof jwks === 'object' && jwks !== null && 'keys' in jwks && Array.isArray(jwks.keys)) {
    if (jwks.keys.length > MAX_PUBLISHED_KEYS) {
      throw new RangeError(`A JWK Set may have at most ${MAX_PUBLISHED_KEYS} keys`);
    }
    const keys = jwks.keys.filter((key): key is JWK => key instanceof Object && !Array.isArray(key));
    if (keys.length > 0 || jwks.keys.length === 0) return { keys };
  }
  throw new TypeError('The answer is not a JWK Set');
}

interface PublishedKeySet extends KeySet {
  readonly find: JWTVerifyGetKey;
}

/**
 * The keys published at a URL, fetched when first needed. jose's own remote key set counts its cool-down from the last
 * successful fetch: while the URL fails, each session with an unknown key causes a fetch.
 */
class PublishedKeys {
  readonly #url: URL;
  readonly #clock: Clock;
  readonly #access: SessionServerAccess;
  #keys: PublishedKeySet | undefined;
  /** When the keys arrived, by the monotonic clock. */
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** When the latest fetch started, by the monotonic clock. */
  #attemptedAt = Number.NEGATIVE_INFINITY;
  /** Why the latest fetch failed; `undefined` if it succeeded. */
  #failure: unknown;
  #fetching: Promise<void> | undefined;

  constructor(url: URL, access: SessionServerAccess) {
    this.#url = url;
    this.#clock = access.clock;
    this.#access = access;
  }

  /**
   * Finds the key of a session. Callers at the same time share one fetch.
   * @throws JOSEError if no key matches; any other Error if the keys cannot be fetched or used
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (!this.#areYoungerThan(MAX_AGE_MS)) await this.#replaceOutdated();
    try {
      return await this.#usableKeys().find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#fetchUnlessCoolingDown();
      // A failed fetch says nothing about an unknown key: it may be published by now.
      if (this.#failure) throw this.#failure;
      return this.#usableKeys().find(header, token);
    }
  };

  /** The keys that {@link find} looks in now, unless it fetches newer ones first. */
  readonly current = (): KeySet | undefined => (this.#areYoungerThan(MAX_AGE_MS) ? this.#keys : undefined);

  async #replaceOutdated(): Promise<void> {
    const mayWaitLess = this.#hasUsableKeys() && this.#failure !== undefined;
    const fetched = this.#fetchUnlessCoolingDown();
    await (mayWaitLess ? withTimeout(this.#clock, WAIT_AFTER_FAILURE_MS, fetched) : fetched);
  }

  #areYoungerThan(ms: number): boolean {
    return this.#clock.monotonic() - this.#fetchedAt < ms;
  }

  #hasUsableKeys(): boolean {
    return this.#areYoungerThan(MAX_AGE_UNREACHABLE_MS);
  }

  #usableKeys(): PublishedKeySet {
    if (this.#keys && this.#hasUsableKeys()) return this.#keys;
    // There are usable keys, or the latest fetch has failed.
    throw this.#failure;
  }

  async #fetchUnlessCoolingDown(): Promise<void> {
    const now = this.#clock.monotonic();
    const cooldownMs = this.#hasUsableKeys() ? COOLDOWN_MS : COOLDOWN_WITHOUT_KEYS_MS;
    if (!this.#fetching && now - this.#attemptedAt >= cooldownMs) {
      this.#attemptedAt = now;
      this.#fetching = this.#fetch();
    }
    await this.#fetching;
  }

  async #fetch(): Promise<void> {
    try {
      const fetched = await noteContact(this.#access.contact, this.#clock, () => fetchJwks(this.#url, this.#access));
      this.#keys = { find: createLocalJWKSet(fetched), keysFor: keysIn(fetched) };
      this.#fetchedAt = this.#clock.monotonic();
      this.#failure = undefined;
    } catch (error) {
      this.#failure = error;
    } finally {
      this.#fetching = undefined;
    }
  }
}

/**
 * The key that verifies sessions: keys published at a URL, a public key (PEM, SPKI) or a shared secret (HMAC). A text may
 * hold a second PEM, or a second secret on a line of its own. Both verify, so that the customer cloud can replace one.
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

/**
 * Prepares the key. A JWKS URL is not fetched before the first session arrives.
 * @throws Error that describes the required key, if the key cannot be used
 */
export function verificationKey(source: JwtKey, access: SessionServerAccess = { clock: systemClock }): VerificationKey {
  if ('jwksUrl' in source) {
    const { find, current } = new PublishedKeys(source.jwksUrl, access);
    return { find, current, algorithms: [...RSA, ...ECDSA_OF_CURVE.values(), EDDSA] };
  }
  const keys = 'secret' in source ? secretKeys(source.secret) : publicKeys(source.publicKeyPem);
  if (keys.length > MAX_KEYS) throw new Error(`There may be at most ${MAX_KEYS} keys of the sessions at a time`);
  const algorithms = [...new Set(keys.flatMap((key) => algorithmsOf(key)))];
  const keySet = { keysFor: () => keys };
  return { find: ({ alg }, session) => signerAmong(keys, alg, session), current: () => keySet, algorithms };
}

/**
 * The key that has signed the session; the last possible one if none has. A session does not say which of several
 * configured keys it is signed with. Slow signatures are checked in another thread.
 * @param algorithm one of at least one key: jose has checked it
 */
async function signerAmong(
  keys: readonly KeyObject[],
  algorithm: string,
  session: FlattenedJWSInput,
): Promise<KeyObject> {
  const possible = keys.filter((key) => algorithmsOf(key).includes(algorithm));
  const last = possible.pop() as KeyObject;
  for (const key of possible) {
    const isSigner = await flattenedVerify(session, key).then(
      () => true,
      () => false,
    );
    if (isSigner) return key;
  }
  return last;
}

function secretKeys(secrets: string): KeyObject[] {
  return secrets.split(/\r?\n/).map(secretKey);
}

function publicKeys(pems: string): KeyObject[] {
  return pems.trim().split(AFTER_PEM).map(publicKey);
}

function secretKey(secret: string): KeyObject {
  const key = Buffer.from(secret);
  if (key.length >= SECRET_MIN_BYTES) return createSecretKey(key);
  throw new Error(`The secret of the sessions must be at least ${SECRET_MIN_BYTES} bytes long (RFC 7518 §3.2)`);
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
  throw new Error('The public key of the sessions must be a PEM that starts with -----BEGIN PUBLIC KEY-----');
}

function algorithmsOf(key: KeyObject): readonly string[] {
  if (key.type === 'secret') return HMAC;
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  const ecdsa = ECDSA_OF_CURVE.get(namedCurve);
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= RSA_MIN_BITS) return RSA;
  if (key.asymmetricKeyType === 'ed25519') return [EDDSA];
  if (ecdsa) return [ecdsa];
  throw new Error(
    `The public key of the sessions must be RSA of at least ${RSA_MIN_BITS} bits, EC on P-256, P-384 or P-521, or Ed25519`,
  );
}

export interface JwtVerifierOptions extends SessionServerAccess {
  readonly key: JwtKey;
  /** The `iss` claim of a session. Without it, the claim is not looked at. */
  readonly issuer?: string | undefined;
  /** The `aud` claim of a session must be or contain it. Without it, the claim is not looked at. */
  readonly audience?: string | undefined;
  /** Accepted JWS algorithms (RFC 7518 §3.1); default: all that fit the key. */
  readonly algorithms?: readonly string[] | undefined;
  readonly claims: ClaimNames;
}

const SESSION_MAX_LENGTH = 8_192;
/** The types of JWTs that are sessions: a plain JWT, and an OAuth access token (RFC 9068 §2.1). */
const SESSION_TYPES = ['JWT', 'at+jwt'];

const NOT_A_JWT = 'The session is not a signed JWT';

/** The jose errors that are the fault of the session, by their code, with the detail for the caller. */
const REFUSALS: Readonly<Record<string, string>> = {
  [errors.JWSInvalid.code]: NOT_A_JWT,
  [errors.JOSENotSupported.code]: 'The session requires a JWT extension that is not supported',
  [errors.JOSEAlgNotAllowed.code]: 'The session is signed with an algorithm that is not allowed',
  [errors.JWKSNoMatchingKey.code]: 'The session is signed with an unknown key',
  [errors.JWKSMultipleMatchingKeys.code]:
    'The session must name its key in the header parameter kid, because several keys match',
  [errors.JWSSignatureVerificationFailed.code]: 'The signature of the session is wrong',
};

type Claims = Readonly<Record<string, unknown>>;

/** Checks a session that is a signed JWT (RFC 7519): signature, `iss`, `aud`, and an `exp` in the future. */
export class JwtVerifier implements SessionVerifier {
  readonly #options: JwtVerifierOptions;
  readonly #key: VerificationKey;
  readonly #algorithms: string[];
  readonly #knownHeaders = new KnownHeaders();

  /** @throws Error that names the allowed values, if the key or an algorithm cannot be used */
  constructor(options: JwtVerifierOptions) {
    this.#options = options;
    this.#key = verificationKey(options.key, options);
    this.#algorithms = checkedAlgorithms(options.algorithms ?? this.#key.algorithms, this.#key.algorithms);
  }

  /** Never throws at once: each refusal is a rejection. */
  verify(session: string): Principal | Promise<Principal> {
    try {
      if (session.length > SESSION_MAX_LENGTH) {
        throw new BrokerError('session_invalid', {
          detail: `A session must have at most ${SESSION_MAX_LENGTH} characters`,
        });
      }
      const keySet = this.#key.current();
      const payload = keySet && this.#knownHeaders.payloadOf(session, keySet);
      if (payload === 'forged') throw brokerErrorFrom(new errors.JWSSignatureVerificationFailed());
      return payload ? this.#principalFrom(payload) : this.#verifyWithJose(session, keySet);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #verifyWithJose(session: string, keySet: KeySet | undefined): Promise<Principal> {
    const options = { algorithms: this.#algorithms };
    const verified = await compactVerify(session, this.#key.find, options).catch((error) => {
      throw brokerErrorFrom(error);
    });
    const { payload, protectedHeader } = verified;
    // RFC 7797 §7: the payload of a JWT is always encoded.
    if (protectedHeader.b64 === false) throw new BrokerError('session_invalid', { detail: NOT_A_JWT });
    if (!isSessionType(protectedHeader.typ)) {
      throw new BrokerError('session_invalid', {
        detail: `The header parameter typ of the session must be ${SESSION_TYPES.join(' or ')} if it is present`,
      });
    }
    if (keySet) this.#knownHeaders.learn(session, protectedHeader, keySet);
    return this.#principalFrom(payload);
  }

  /** @param payload of a session whose signature is genuine */
  #principalFrom(payload: Uint8Array): Principal {
    const { claims: names, clock } = this.#options;
    const claims = claimsIn(payload, names);
    const [wrong] = Object.entries(validClaims(claims, this.#options)).find(([, isValid]) => !isValid) ?? [];
    if (wrong !== undefined) {
      const problem = claims[wrong] === undefined ? 'is missing' : 'has a wrong value';
      throw new BrokerError('session_invalid', { detail: `The session's claim ${wrong} ${problem}` });
    }
    requireAccessToken(claims);
    return principalFrom(claims, names, 'jwt', clock);
  }
}

const UTF8 = new TextDecoder();

/**
 * Reads the claims in the payload of a JWT.
 * @throws BrokerError `session_invalid`
 */
export function claimsIn(payload: Uint8Array, names: ClaimNames): Claims {
  // Lenient decoding would replace wrong bytes by U+FFFD, and so give two accounts one name.
  const claims = isUtf8(payload) && parseClaims(UTF8.decode(payload), names);
  if (claims) return claims as Claims;
  throw new BrokerError('session_invalid', { detail: NOT_A_JWT });
}

/** Says whether the session is from the issuer, and for the audience (RFC 7519 §4.1). */
export function validClaims(
  { iss, aud }: Claims,
  { issuer, audience }: Pick<JwtVerifierOptions, 'issuer' | 'audience'>,
) {
  return {
    iss: issuer === undefined || iss === issuer,
    aud: audience === undefined || aud === audience || (Array.isArray(aud) && aud.includes(audience)),
  };
}

function checkedAlgorithms(chosen: readonly string[], allowed: readonly string[]): string[] {
  if (chosen.length > 0 && chosen.every((algorithm) => allowed.includes(algorithm))) return [...chosen];
  throw new Error(`The algorithms of the sessions must be among those that fit their key: ${allowed.join(', ')}`);
}

/**
 * Media types may leave out `application/`, and are case-insensitive (RFC 7515 §4.1.9).
 * @param type the header parameter. jose accepts any JSON value
 */
export function isSessionType(type: unknown): boolean {
  if (typeof type !== 'string') return type === undefined;
  const name = type.toLowerCase().replace(/^application\//, '');
  return SESSION_TYPES.some((one) => one.toLowerCase() === name);
}

/** Maps an error of jose. Its message and payload are left out, because they may contain parts of the session. */
export function brokerErrorFrom(error: unknown): BrokerError {
  const detail = error instanceof errors.JOSEError ? REFUSALS[error.code] : undefined;
  if (detail) return new BrokerError('session_invalid', { detail, isMalformed: error instanceof errors.JWSInvalid });
  // Keys that cannot be fetched or used say nothing about the session.
  return sessionCheckUnavailable(error);
}
