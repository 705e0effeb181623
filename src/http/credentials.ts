import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import type { CachedPrincipal, SessionVerifier } from '../token/principal.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import { rateLimit } from './account-limit.ts';
import { withSession } from './server/connections.ts';

const BEARER_HEADER = /^bearer +(.+)$/i;
/** With a b64token (RFC 6750 §2.1). */
const BEARER_TOKEN_HEADER = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i;

/** `undefined` without the scheme `Bearer`. Node joins repeated headers by commas, which no b64token contains. */
export function bearerCredential(authorization: string | undefined): string | undefined {
  return BEARER_HEADER.exec(authorization ?? '')?.[1];
}

/** @throws BrokerError `session_missing` without the scheme `Bearer`, `session_invalid` if the token is malformed */
function bearerToken(authorization: string | undefined): string {
  const token = BEARER_TOKEN_HEADER.exec(authorization ?? '')?.[1];
  if (token !== undefined) return token;
  if (bearerCredential(authorization) === undefined) {
    throw new BrokerError('session_missing', { detail: SESSION_REASONS.noBearer });
  }
  throw new BrokerError('session_invalid', { detail: SESSION_REASONS.malformedBearer });
}

/** The `WWW-Authenticate` of an error. Without a session it names no error code (RFC 6750 §3.1). */
export function challengeFor(code: ErrorCode, realm: string): string | undefined {
  const { status, title } = ERRORS[code];
  if (status !== 401) return undefined;
  const error = code === 'session_missing' ? '' : `, error="invalid_token", error_description="${title}"`;
  return `Bearer realm="${realm}"${error}`;
}

/** The headers and cookies that make up a session in mode `forward`. */
export interface ForwardedSession {
  /** Header names in lower case. */
  readonly headers: readonly string[];
  /** Cookie names, case-sensitive; `all`: the whole header `Cookie`. */
  readonly cookies: 'all' | readonly string[];
}

/**
 * Returns the function that finds the session of a request, in the form that a verifier takes and that caches use as
 * key: the bearer token, or with `forwarded` a JSON object of the sent headers with these names, in this order.
 * @throws BrokerError `session_missing`, `session_invalid`; `session_forbidden` if another site caused the request
 */
export function sessionSource(forwarded: ForwardedSession | undefined): (headers: IncomingHttpHeaders) => string {
  if (forwarded === undefined) return ({ authorization }) => bearerToken(authorization);
  const { headers: names, cookies } = forwarded;
  const listed = cookies === 'all' ? '' : ` (cookies: ${cookies.join(', ')})`;
  const missing = SESSION_REASONS.noHeaders(names.join(', ') + listed);
  return (headers) => {
    const parts = names.flatMap((name) => {
      const value = name === 'cookie' && cookies !== 'all' ? namedCookies(headers.cookie, cookies) : headers[name];
      return typeof value === 'string' && value !== '' ? [[name, value] as const] : [];
    });
    if (parts.length === 0) throw new BrokerError('session_missing', { detail: missing });
    const hasCookie = parts.some(([name]) => name === 'cookie');
    if (hasCookie && isFromAnotherSite(headers))
      throw new BrokerError('session_forbidden', { detail: SESSION_REASONS.anotherSite });
    return JSON.stringify(Object.fromEntries(parts));
  };
}

/**
 * The cookies with these names, in the order of `names`, so that other cookies and their order do not matter. Of
 * several cookies with one name it takes the first: browsers send the most specific one first (RFC 6265 §5.4).
 */
function namedCookies(header = '', names: readonly string[]): string {
  const pairs = header.split(';').map((pair) => pair.trim());
  return names.flatMap((name) => pairs.find((pair) => pair.startsWith(`${name}=`)) ?? []).join('; ');
}

/** Whether another site's page sent it. A browser adds cookies to it, and sets these headers. An app sends neither. */
function isFromAnotherSite({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  return site === 'cross-site' || (origin !== undefined && !isOriginOf(origin, host));
}

/** Compares host and port. The scheme is unknown, because the proxy in front ends TLS. */
function isOriginOf(origin: string, host = ''): boolean {
  if (!URL.canParse(origin)) return false;
  const page = new URL(origin);
  const own = `${page.protocol}//${host}`;
  return page.host !== '' && URL.canParse(own) && new URL(own).host === page.host;
}

export interface SessionGuardOptions {
  readonly sessions: SessionVerifier<CachedPrincipal>;
  /** Without it, the session is a bearer token. */
  readonly forwardedSession: ForwardedSession | undefined;
  /** Requests per account and minute to this replica; 0: no limit. */
  readonly readsPerMinute: number;
  readonly observer: Pick<Observer, 'rateLimited'>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The principal of the session. {@link requireSession} sets it. */
    caller: CachedPrincipal;
  }
}

/**
 * Returns the function that checks the session of a request, then counts it against the limit of its account.
 * @throws BrokerError at once or as a rejection: by {@link sessionSource} and the verifier, `rate_limited`
 */
export function callerFinder({ sessions, forwardedSession, readsPerMinute, observer }: SessionGuardOptions) {
  const sessionOf = sessionSource(forwardedSession);
  const limit = rateLimit(readsPerMinute);
  const detail = `An account may send ${readsPerMinute} requests per minute`;
  const admit = (caller: CachedPrincipal): CachedPrincipal => {
    const { account } = caller;
    const retryAfter = limit(account);
    if (retryAfter === undefined) return caller;
    observer.rateLimited('requests');
    throw new BrokerError('rate_limited', { detail, retryAfter, account });
  };
  return (headers: IncomingHttpHeaders): CachedPrincipal | Promise<CachedPrincipal> => {
    const caller = sessions.verify(sessionOf(headers));
    return caller instanceof Promise ? caller.then(admit) : admit(caller);
  };
}

/** Finds the caller before Fastify validates the request: without a session, a caller learns nothing about the API. */
export function requireSession(app: FastifyInstance, callerOf: ReturnType<typeof callerFinder>): void {
  app.decorateRequest('caller');
  app.addHook('onRequest', async (request) => {
    request.caller = await callerOf(request.headers);
    withSession.add(request.raw.socket);
  });
}
