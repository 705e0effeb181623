import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/**
 * Closes at the end the connections that never carried a request, as load balancers and browsers open them in advance.
 * Node counts them as busy, and `close()` would wait for them.
 */
export function closeUnusedConnections(app: FastifyInstance): void {
  const unused = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  app.server.on('request', ({ socket }) => unused.size > 0 && unused.delete(socket));
  app.addHook('preClose', async () => {
    for (const socket of unused) socket.destroy();
  });
}
