import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { plainRequest } from '../support/plain-request.ts';
import { PAGE } from './javascript-package.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  /** 0: the client has not got an answer. */
  readonly status: number;
}

/** Answers a request in the place of the broker, or calls `forward` for the broker's answer. */
type Play = (response: ServerResponse, forward: (until?: Promise<unknown>) => Promise<void>) => unknown;

export const answer =
  (status: number, body: unknown, headers: Record<string, string> = {}): Play =>
  (response) => {
    const isText = typeof body === 'string';
    const type = isText ? 'text/html' : 'application/problem+json';
    response.writeHead(status, { 'content-type': type, ...headers }).end(isText ? body : JSON.stringify(body));
  };

export const silence: Play = () => undefined;

/** Asks the broker at once, and passes its answer on when the promise resolves. */
export const heldAnswer =
  (until: Promise<unknown>): Play =>
  (_, forward) =>
    forward(until);

/** What is between a phone and the broker. It also serves the page of an app. */
export class PhoneNetwork {
  /** How the next requests are answered, in order. After them the broker answers. */
  next: Play[] = [];
  readonly seen: Seen[] = [];
  /** Requests whose connection the client has closed before the answer was complete. */
  abandoned = 0;
  private server: Server | undefined;
  private port = 0;
  private readonly broker: string;
  private readonly file: (name: string) => Buffer;

  constructor(broker: string, file: (name: string) => Buffer) {
    this.broker = broker;
    this.file = file;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  requests(method = 'GET'): Seen[] {
    return this.seen.filter((request) => request.method === method);
  }

  async connect(): Promise<void> {
    this.server = createServer((request, response) => void this.serve(request, response));
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  async disconnect(): Promise<void> {
    const closed = this.server && once(this.server, 'close');
    this.server?.close();
    this.server?.closeAllConnections();
    await closed;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    if (url === '/app') return void response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    if (url === '/favicon.ico') return void response.writeHead(404).end();
    if (url.startsWith('/client/')) {
      response.writeHead(200, { 'content-type': 'text/javascript' });
      return void response.end(this.file(url.slice('/client/'.length)));
    }
    const seen = { method, url, headers, status: 0 };
    this.seen.push(seen);
    response.on('close', () => {
      this.abandoned += response.writableFinished ? 0 : 1;
    });
    const play = this.next.shift();
    const forward = async (until?: Promise<unknown>) => {
      const sent = {
        authorization: `${headers.authorization}`,
        ...(headers['if-none-match'] && { 'if-none-match': headers['if-none-match'] }),
      };
      const { status, headers: received, body } = await plainRequest(this.broker + url, { method, headers: sent });
      seen.status = status;
      await until;
      for (const name of ['content-type', 'etag', 'retry-after'])
        if (received[name]) response.setHeader(name, received[name]);
      response.writeHead(status);
      response.end(body);
    };
    await (play ? play(response, forward) : forward());
  }
}
