import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { CachedPrincipal } from '../../token/principal.ts';
import type { callerFinder } from '../credentials.ts';
import type { tokenReader } from '../routes/sdk-token.ts';
import { TOKEN_HEADERS } from '../token-answer.ts';
import { requestIdOf, SECURITY_HEADERS } from './answer-headers.ts';
import { withSession } from './connections.ts';
import { hasBody } from './request-bodies.ts';
import { type AppContext, namesOneHost } from './request-hooks.ts';

/** A read as nearly every app sends it: one terminal, nothing percent-encoded, no other parameter. */
const PLAIN_READ = /^\/sdk-token\?uniqueId=(?!\.\.?$)([\w.~-]{1,128})$/;

interface DirectReadsOptions extends Pick<AppContext, 'closing' | 'tracer'> {
  /** The caller of the route `GET /sdk-token`, by the headers of its request. */
  readonly callerOf: ReturnType<typeof callerFinder>;
  /** The token of the route. */
  readonly tokenFor: ReturnType<typeof tokenReader>;
}

/** Names and values in turn. An object for each answer takes 39 % more CPU of a read from memory (Node.js 20). */
const FIXED_HEADERS = Object.entries({ ...SECURITY_HEADERS, ...TOKEN_HEADERS }).flat();

/**
 * Answers plain `GET /sdk-token` by the functions of its route, and remembers nothing. Fastify, which answers errors,
 * takes a quarter of the CPU of a read from memory, and a twentieth of a first read (benchmark scenarios `warm` and
 * `first`).
 */
export function directReads({ callerOf, tokenFor, closing, tracer }: DirectReadsOptions) {
  /** The failures of requests that it took, for Fastify to answer with. `caller`: if the session was accepted. */
  const failures = new WeakMap<IncomingMessage, { error: Error; caller: CachedPrincipal | undefined }>();
  return { failures, take };

  /** Takes the request if it is a plain read. @param serve hands it to Fastify @returns whether it took it */
  function take(request: IncomingMessage, response: ServerResponse, serve: RequestListener): boolean {
    const uniqueId = closing.aborted ? undefined : plainUniqueId(request);
    if (uniqueId === undefined) return false;
    tracer?.matched('GET', '/sdk-token');
    void answer(request, response, uniqueId, serve);
    return true;
  }

  async function answer(request: IncomingMessage, response: ServerResponse, uniqueId: string, serve: RequestListener) {
    let caller: CachedPrincipal | undefined;
    const requestId = requestIdOf(request);
    try {
      caller = await callerOf(request.headers);
      withSession.add(request.socket);
      const { etag, body } = await tokenFor(caller, { uniqueId }, requestId);
      const own = ['etag', etag, 'content-length', String(body.length), 'x-request-id', requestId];
      // Node would wait for an open connection.
      if (closing.aborted) response.shouldKeepAlive = false;
      response.writeHead(200, [...FIXED_HEADERS, ...own]).end(body, 'latin1');
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error('The read failed', { cause: thrown });
      failures.set(request, { error, caller });
      // A line of the log may have the id already.
      request.headers['x-request-id'] = requestId;
      serve(request as never, response as never);
    }
  }
}

/** Conditional requests, and requests with a body or not one `Host`, are left to Fastify. */
function plainUniqueId(request: IncomingMessage): string | undefined {
  const { method, url = '', headers } = request;
  if (method !== 'GET' || headers['if-none-match'] !== undefined) return undefined;
  return hasBody(request) || !namesOneHost(request) ? undefined : PLAIN_READ.exec(url)?.[1];
}
