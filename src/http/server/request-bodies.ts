import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** Bytes of a body that may arrive after the answer, on a connection that stays open. */
const MAX_LATE_BODY = 65_536;

/** Whether a request has a body (RFC 9112 §6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** Whether the connection stays open for the rest of this body. The answer must say so before. */
export function mayArriveLate({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length']) <= MAX_LATE_BODY;
}

/**
 * Ignores the bodies of requests to this scope. Many HTTP clients send `Content-Type` with a DELETE that has no body,
 * and Fastify would refuse that. It would also refuse a `Content-Type` that is empty or malformed, before any parser.
 */
export function leaveBodiesUnread(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    delete request.raw.headers['content-type'];
    done();
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null));
}
