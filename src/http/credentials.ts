import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import type { BelievedPrincipal, SessionVerifier } from '../token/principal.ts';
import type { AccountLimit } from './account-limit.ts';

const BEARER = /^bearer +(.+)$/i;
/** RFC 6750 §2.1. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * What follows `Bearer` in an `Authorization` header; `undefined` where there is none or another scheme.
 * @param authorization header fields sent twice arrive joined by commas, which no b64token holds
 */
function bearerCredential(authorization: string | undefined): string | undefined {
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

/** Refuses requests to this scope that do not come with the token, before their bodies are read. */
export function requireAdminToken(app: FastifyInstance, adminToken: string): void {
  const expected = digest(adminToken);
  app.addHook('onRequest', (request, _reply, done) => {
    const sent = bearerCredential(request.headers.authorization);
    if (sent === undefined) {
      done(new BrokerError('session_missing', { detail: 'Send Authorization: Bearer <ADMIN_TOKEN>' }));
    } else if (!timingSafeEqual(digest(sent), expected)) {
      done(new BrokerError('session_invalid', { detail: 'The bearer token is not the ADMIN_TOKEN' }));
    } else {
      done();
    }
  });
}

/** Of one length, as the comparison needs it. */
function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/** Finds the session of a request. */
export interface SessionSource {
  /** The text of the headers that make up the session; `undefined` if the request has none. Equal texts are one session. */
  textOf(headers: IncomingHttpHeaders): string | undefined;
  /** The session as a verifier takes it. @throws BrokerError `session_missing`, `session_invalid` */
  sessionOf(headers: IncomingHttpHeaders): string;
}

/**
 * Finds sessions in the bearer token. With `forwarded`, the session is a JSON object of the headers with these names that
 * the app sent: by lower-case name, in this order.
 */
export function sessionSource(forwarded: readonly string[] | undefined): SessionSource {
  if (forwarded === undefined) {
    return {
      textOf: ({ authorization }) => authorization,
      sessionOf: ({ authorization }) => bearerToken(authorization),
    };
  }
  const names = forwarded.map((name) => name.toLowerCase());
  const detail = `Send the session in one of these headers: ${names.join(', ')}`;
  const textOf = (headers: IncomingHttpHeaders) => {
    const sent = names.flatMap((name) => {
      const value = headers[name];
      return typeof value === 'string' && value !== '' ? [[name, value]] : [];
    });
    return sent.length === 0 ? undefined : JSON.stringify(Object.fromEntries(sent));
  };
  const sessionOf = (headers: IncomingHttpHeaders) => {
    const text = textOf(headers);
    if (text === undefined) throw new BrokerError('session_missing', { detail });
    return text;
  };
  return { textOf, sessionOf };
}

export interface SessionGuardOptions {
  readonly sessions: SessionVerifier<BelievedPrincipal>;
  readonly sessionSource: SessionSource;
  readonly limit: AccountLimit;
  readonly observer: Pick<Observer, 'rateLimited'>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The principal of the session, once {@link requireSession} has checked it. */
    caller: BelievedPrincipal;
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
    request.caller = await sessions.verify(sessionSource.sessionOf(request.headers));
    const refusal = limit(request.caller.unionId)();
    if (!refusal) return;
    observer.rateLimited('requests');
    throw refusal;
  });
}
