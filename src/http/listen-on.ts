import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** Listens, and answers with the URL that leads there. @param port 0: any free one */
export async function listenOn(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<string> {
  await app.listen({ host, port });
  const { address, family, port: actual } = app.server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
}
