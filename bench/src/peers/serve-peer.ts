import fastify from 'fastify';
import type { Peer } from './peer.ts';

export interface ServePeerOptions {
  readonly port: number;
  /** What the broker's answers carry besides, taken from one of them. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The broker's HTTP surface before a peer: the same request, the same bytes and the same headers. */
export async function servePeer(peer: Peer, { port, headers }: ServePeerOptions): Promise<void> {
  const app = fastify();
  app.get('/readyz', () => ({ status: 'ok' }));
  app.get<{ Querystring: { uniqueId: string } }>('/sdk-token', async (request, reply) => {
    const [, session] = /^bearer +(.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (session === undefined) return reply.code(401).send({ code: 'session_missing' });
    const bearer = await peer.verify(session).catch(() => undefined);
    if (bearer === undefined) return reply.code(401).send({ code: 'session_invalid' });
    const { fields, etag } = await peer.read({ ...bearer, uniqueId: request.query.uniqueId });
    return reply.headers(headers).header('etag', etag).send(fields);
  });
  await app.listen({ host: '127.0.0.1', port });
}
