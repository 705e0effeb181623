import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BadRequest, sendJson } from './exchange.ts';

export interface Listening {
  readonly url: string;
  readonly port: number;
  /** Ends every connection, idle or not. */
  close(): Promise<void>;
}

/** Serves `answer` over HTTP. @param port 0: any free one */
export async function listen(
  host: string,
  port: number,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Listening> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.destroyed || response.headersSent) response.destroy();
      else if (error instanceof BadRequest) sendJson(response, { error: error.message }, error.status);
      else sendJson(response, { error: `the simulator failed: ${String(error)}` }, 500);
    });
  });
  server.listen(port, host);
  await once(server, 'listening');
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
