import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

interface ReceivedRequest {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer = (...args: [...Parameters<RequestListener>, received: ReceivedRequest]) => void;

/** A real HTTP server that records its requests. It can be stopped and started again on the same port. */
export class RecordingServer {
  readonly received: ReceivedRequest[] = [];
  answer: Answer;
  #port = 0;
  #server = this.#create();

  constructor(answer: Answer) {
    this.answer = answer;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    this.#server = this.#create();
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  #create() {
    return createServer(async (request, response) => {
      const { method, url, headers } = request;
      const received = { method, url, headers, body: await text(request) };
      this.received.push(received);
      this.answer(request, response, received);
    });
  }
}

/** A recording server that runs until the test ends. */
export async function recordingServer(answer: Answer): Promise<RecordingServer> {
  const server = new RecordingServer(answer);
  await server.start();
  onTestFinished(() => server.stop());
  return server;
}

/** Answers with `content` as JSON. */
export function json(content: unknown): RequestListener {
  return (_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(content));
  };
}

/** The settings of a broker that asks this server about sessions. */
export function introspectionAt(url: string): Readonly<Record<string, string>> {
  return {
    SESSION_MODE: 'introspection',
    SESSION_INTROSPECTION_URL: url,
    SESSION_INTROSPECTION_CLIENT_ID: 'broker',
    SESSION_INTROSPECTION_CLIENT_SECRET: 'secret',
  };
}
