import type { FastifyInstance } from 'fastify';

/**
 * Lets requests of this scope announce a body, which nobody looks at: many HTTP clients send `Content-Type` along with a
 * DELETE that has none, and Fastify would refuse it.
 */
export function leaveBodiesUnread(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null));
}
