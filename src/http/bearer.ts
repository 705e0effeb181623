import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';

const BEARER = /^bearer +(.+)$/i;
/** RFC 6750 §2.1. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * What follows `Bearer` in an `Authorization` header; `undefined` where there is none or another scheme.
 * @param authorization header fields sent twice arrive joined by commas, which no b64token holds
 */
export function bearerCredential(authorization: string | undefined): string | undefined {
  return BEARER.exec(authorization ?? '')?.[1];
}

/**
 * The session in an `Authorization` header.
 * @throws BrokerError `session_missing` where there is none or another scheme, `session_invalid` where it is malformed
 */
export function bearerToken(authorization: string | undefined): string {
  const token = bearerCredential(authorization);
  if (token === undefined) {
    throw new BrokerError('session_missing', { detail: 'Send the session as Authorization: Bearer <session>' });
  }
  if (!B64TOKEN.test(token)) {
    throw new BrokerError('session_invalid', {
      detail: 'The bearer token is not one b64token (RFC 6750, section 2.1)',
    });
  }
  return token;
}

/** The `WWW-Authenticate` an error calls for; nothing about the error where no session was sent (RFC 6750 §3, §3.1). */
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
