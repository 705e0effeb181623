import type { JWTPayload, JWTVerifyOptions } from 'jose';
import * as errors from 'jose/errors';
import { jwtVerify } from 'jose/jwt/verify';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { checkUnavailable } from './check-unavailable.ts';
import { type ClaimNames, principalFrom } from './claims.ts';
import { type JwtKey, type VerificationKey, verificationKey } from './jwt-key.ts';

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
