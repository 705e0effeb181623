import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JWK } from 'jose';

/** A real server that publishes keys, and can be stopped and started again on its port. */
export class JwksServer {
  keys: JWK[] = [];
  fetches = 0;
  answer: RequestListener = (_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: this.keys }));
  };
  #port = 0;
  #server = this.#create();

  get url(): URL {
    return new URL(`http://127.0.0.1:${this.#port}/jwks.json`);
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
    return createServer((request, response) => {
      this.fetches += 1;
      this.answer(request, response);
    });
  }
}
