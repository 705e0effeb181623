import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const BODY_LIMIT = 65_536;

/** A request that cannot be taken, with what is allowed; answered as 4xx `{"error"}`. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

/** @throws BadRequest past 64 KiB; the rest is read all the same, so that the caller hears of it */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= BODY_LIMIT) chunks.push(chunk);
  }
  if (length > BODY_LIMIT) throw new BadRequest(`the body may have at most ${BODY_LIMIT} bytes`, 413);
  return Buffer.concat(chunks);
}

/** @throws BadRequest */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request);
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new BadRequest('the body must be JSON');
  }
}

export function sendJson(response: ServerResponse, value: unknown, status = 200, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}

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
