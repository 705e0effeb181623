import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';

const BEARER = /^bearer +(.+)$/i;
/** RFC 6750 §2.1. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * The credential of an `Authorization` header; `undefined` without the scheme `Bearer`.
 * @param authorization Node joins repeated headers with commas, which a b64token cannot contain
 */
export function bearerCredential(authorization: string | undefined): string | undefined {
  return BEARER.exec(authorization ?? '')?.[1];
}

/**
 * The bearer token of an `Authorization` header.
 * @throws BrokerError `session_missing` without the scheme `Bearer`, `session_invalid` if the token is malformed
 */
export function bearerToken(authorization: string | undefined): string {
  const token = bearerCredential(authorization);
  if (token === undefined) {
    throw new BrokerError('session_missing', { detail: 'Send the session as Authorization: Bearer <session>' });
  }
  if (!B64TOKEN.test(token)) {
    throw new BrokerError('session_invalid', {
      detail: 'The bearer token must be one b64token (RFC 6750, section 2.1)',
    });
  }
  return token;
}

/** The `WWW-Authenticate` of an error. Without a session it names no error code (RFC 6750 §3.1). */
export function challengeFor(code: ErrorCode, realm: string): string | undefined {
  switch (code) {
    case 'session_missing':
      return `Bearer realm="${realm}"`;
    case 'session_invalid':
    case 'session_expired':
      return `Bearer realm="${realm}", error="invalid_token", error_description="${ERRORS[code].title}"`;
    default:
      return undefined;
  }
}
