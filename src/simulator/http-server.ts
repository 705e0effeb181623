import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isForeignHost } from '../token/host-names.ts';

const MAX_BODY_BYTES = 65_536;

/** The request is invalid. The caller gets the status and the message, as `{"error"}`. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

/** @throws BadRequest above 64 KiB. The rest is still read, so that the caller can receive the answer */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (length > MAX_BODY_BYTES) throw new BadRequest(`the body may have at most ${MAX_BODY_BYTES} bytes`, 413);
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

/** Refuses a site's host name (DNS rebinding), and changes by a page of another site. @throws BadRequest */
export function refuseForeign({ method, headers }: IncomingMessage): void {
  const { host = '', origin } = headers;
  if (isForeignHost(host)) throw new BadRequest('call it by its address, or by a host name without a dot', 403);
  if (method === 'GET') return;
  const site = headers['sec-fetch-site'] ?? 'same-origin';
  if (site !== 'same-origin' || (origin !== undefined && origin !== `http://${host}`)) {
    throw new BadRequest('a page of another site may not call it', 403);
  }
}

/** Starts an HTTP server that answers every request with `answer`. @param port 0: any free port */
export async function listen(
  host: string,
  port: number,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
) {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.destroyed || response.headersSent) response.destroy();
      else if (error instanceof BadRequest) sendJson(response, { error: error.message }, error.status);
      else sendJson(response, { error: `the simulator failed: ${String(error)}` }, 500);
    });
  });
  server.listen(port, host);
  await once(server, 'listening');
  const { port: actualPort } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`,
    port: actualPort,
    /** Also ends connections with a request in progress. */
    close: async (): Promise<void> => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export type HttpServer = Readonly<Awaited<ReturnType<typeof listen>>>;
