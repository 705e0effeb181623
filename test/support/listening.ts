import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { endWithTest } from './end-with-test.ts';

/** Lets a server listen on a port of loopback, by default a free one. It ends with the test, with its connections. */
export async function listening(server: Server, ownPort = 0) {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(ownPort, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = endWithTest(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  });
  return { port, url: `http://127.0.0.1:${port}`, close };
}
