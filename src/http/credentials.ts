import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import type { CachedPrincipal, SessionVerifier } from '../token/principal.ts';
import type { AccountLimit } from './account-limit.ts';

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

/** Finds the session of a request. */
export interface SessionSource {
  /** The text of the headers that make up the session; `undefined` if the request has none. */
  textOf(headers: IncomingHttpHeaders): string | undefined;
  /** The session in that text, in the form that a verifier takes. @throws BrokerError `session_missing`, `session_invalid` */
  parse(text: string | undefined): string;
}

/**
 * The session is the bearer token. With `forwarded` it is a JSON object: the values of the headers with these names that
 * the app sent, by lower-case name, in this order.
 */
export function sessionSource(forwarded: readonly string[] | undefined): SessionSource {
  if (forwarded === undefined) {
    return { textOf: ({ authorization }) => authorization, parse: bearerToken };
  }
  const names = forwarded.map((name) => name.toLowerCase());
  const detail = `Send the session in one of these headers: ${names.join(', ')}`;
  return {
    textOf(headers) {
      const sent = names.flatMap((name) => {
        const value = headers[name];
        return typeof value === 'string' && value !== '' ? [[name, value]] : [];
      });
      return sent.length === 0 ? undefined : JSON.stringify(Object.fromEntries(sent));
    },
    parse(text) {
      if (text === undefined) throw new BrokerError('session_missing', { detail });
      return text;
    },
  };
}

export interface SessionGuardOptions {
  readonly sessions: SessionVerifier<CachedPrincipal>;
  readonly sessionSource: SessionSource;
  readonly limit: AccountLimit;
  readonly observer: Pick<Observer, 'rateLimited'>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The principal of the session. {@link requireSession} sets it. */
    caller: CachedPrincipal;
  }
}

/**
 * Checks the session of each request to this scope, then counts the request against its account's limit. Both happen
 * before Fastify validates the request, so that a caller without a session learns nothing about the API.
 */
export function requireSession(
  app: FastifyInstance,
  { sessions, sessionSource, limit, observer }: SessionGuardOptions,
): void {
  app.decorateRequest('caller');
  app.addHook('onRequest', async (request) => {
    request.caller = await sessions.verify(sessionSource.parse(sessionSource.textOf(request.headers)));
    const refusal = limit(request.caller.unionId)();
    if (!refusal) return;
    observer.rateLimited('requests');
    throw refusal;
  });
}
