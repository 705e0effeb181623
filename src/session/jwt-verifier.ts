import { isUtf8 } from 'node:buffer';
import * as errors from 'jose/errors';
import { compactVerify } from 'jose/jws/compact/verify';
import { BrokerError, type SessionFault } from '../token/errors.ts';
import type { Principal, SessionVerifier } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import type { Text } from '../token/text.ts';
import { type ClaimNames, invalidClaim, parseClaims, principalFrom, requireAccessToken } from './claims.ts';
import { createKnownHeaders, type KeySet } from './known-headers.ts';
import { type SessionServerAccess, sessionCheckUnavailable } from './session-server.ts';
import { type JwtKey, verificationKey } from './verification-key.ts';

export interface JwtVerifierOptions extends SessionServerAccess {
  readonly key: JwtKey;
  /** The `iss` claim of a session. Without it, the claim is not looked at. */
  readonly issuer?: string | undefined;
  /** The `aud` claim of a session must be or contain it. Without it, the claim is not looked at. */
  readonly audience?: string | undefined;
  /** Accepted JWS algorithms (RFC 7518 §3.1), all of which fit the key; default: all that fit it. */
  readonly algorithms?: readonly string[] | undefined;
  readonly claims: ClaimNames;
}

const SESSION_MAX_LENGTH = 8_192;
/** The types of JWTs that are sessions: a plain JWT, and an OAuth access token (RFC 9068 §2.1). */
const SESSION_TYPES = ['JWT', 'at+jwt'];

/** The jose errors that are the fault of the session, by their code, with the detail for the caller. */
const REFUSALS: Readonly<Record<string, Text>> = {
  [errors.JWSInvalid.code]: SESSION_REASONS.noJwt,
  [errors.JOSENotSupported.code]: SESSION_REASONS.unsupportedExtension,
  [errors.JOSEAlgNotAllowed.code]: SESSION_REASONS.forbiddenAlgorithm,
  [errors.JWKSNoMatchingKey.code]: SESSION_REASONS.unknownKey,
  [errors.JWKSMultipleMatchingKeys.code]: SESSION_REASONS.severalKeys,
  [errors.JWSSignatureVerificationFailed.code]: SESSION_REASONS.wrongSignature,
};

const FAULTS: Readonly<Record<string, SessionFault>> = {
  [errors.JWSInvalid.code]: 'malformed',
  [errors.JWKSNoMatchingKey.code]: 'unknown_key',
  [errors.JWSSignatureVerificationFailed.code]: 'unknown_key',
};

export type Claims = Readonly<Record<string, unknown>>;

/** Checks a session that is a signed JWT (RFC 7519). @throws Error that describes the required key, if unusable */
export function createJwtVerifier(options: JwtVerifierOptions): SessionVerifier {
  const { claims: names, clock } = options;
  const knownHeaders = createKnownHeaders();
  const key = verificationKey(options.key, options);
  const algorithms = [...(options.algorithms ?? key.algorithms)];
  return { verify };

  /** Never throws at once: each refusal is a rejection. */
  function verify(session: string): Principal | Promise<Principal> {
    try {
      if (session.length > SESSION_MAX_LENGTH) {
        throw new BrokerError('session_invalid', { detail: SESSION_REASONS.tooLong(SESSION_MAX_LENGTH) });
      }
      const keySet = key.current();
      const payload = keySet && knownHeaders.payloadOf(session, keySet);
      if (payload === 'forged') throw brokerErrorFrom(new errors.JWSSignatureVerificationFailed());
      return payload ? principalIn(payload) : verifyWithJose(session, keySet);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async function verifyWithJose(session: string, keySet: KeySet | undefined): Promise<Principal> {
    const verified = await compactVerify(session, key.find, { algorithms }).catch((error) => {
      throw brokerErrorFrom(error);
    });
    const { payload, protectedHeader } = verified;
    // RFC 7797 §7: the payload of a JWT is always encoded.
    if (protectedHeader.b64 === false) throw new BrokerError('session_invalid', { detail: SESSION_REASONS.noJwt });
    if (!isSessionType(protectedHeader.typ)) {
      throw new BrokerError('session_invalid', { detail: SESSION_REASONS.wrongType(SESSION_TYPES) });
    }
    if (keySet) knownHeaders.learn(session, protectedHeader, keySet);
    return principalIn(payload);
  }

  /** @param payload of a session whose signature is genuine */
  function principalIn(payload: Uint8Array): Principal {
    const claims = claimsIn(payload, names);
    const [wrong] = Object.entries(validClaims(claims, options)).find(([, isValid]) => !isValid) ?? [];
    if (wrong !== undefined) {
      throw invalidClaim(wrong, claims[wrong] === undefined ? SESSION_REASONS.missing : SESSION_REASONS.wrongValue);
    }
    requireAccessToken(claims);
    return principalFrom(claims, names, 'jwt', clock);
  }
}

const UTF8 = new TextDecoder();

/** Reads the claims in the payload of a JWT. @throws BrokerError `session_invalid` */
export function claimsIn(payload: Uint8Array, names: ClaimNames): Claims {
  // Lenient decoding would replace wrong bytes by U+FFFD, and so give two accounts one name.
  const claims = isUtf8(payload) && parseClaims(UTF8.decode(payload), names);
  if (claims) return claims as Claims;
  throw new BrokerError('session_invalid', { detail: SESSION_REASONS.noJwt });
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

/** Media types are case-insensitive and may leave out `application/` (RFC 7515 §4.1.9). jose accepts any JSON. */
export function isSessionType(type: unknown): boolean {
  if (typeof type !== 'string') return type === undefined;
  const name = type.toLowerCase().replace(/^application\//, '');
  return SESSION_TYPES.some((one) => one.toLowerCase() === name);
}

/** Maps an error of jose. Its message and payload are left out, because they may contain parts of the session. */
export function brokerErrorFrom(error: unknown): BrokerError {
  const code = error instanceof errors.JOSEError ? error.code : '';
  const detail = REFUSALS[code];
  if (detail) return new BrokerError('session_invalid', { detail, sessionFault: FAULTS[code] });
  // Keys that cannot be fetched or used say nothing about the session.
  return sessionCheckUnavailable(error);
}
