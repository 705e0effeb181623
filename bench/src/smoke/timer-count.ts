import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';

/** Node's own HTTP server restarts the socket's idle timer with every request, and keeps the text of `Date` for a second. */
const NODES_HTTP_SERVER = /\((?:node:net|node:_http_\w+|node:internal\/(?:http|stream_base_commons)):/;
const TIMERS_THEMSELVES = /\(?node:internal\/(?:timers|async_hooks|process\/\w+):|\(node:timers:/;

/**
 * Counts the timers that are made while this process answers HTTP requests, however far down the line, but for those
 * that Node's HTTP server makes itself. Timers of background work do not count.
 */
export class TimerCount {
  readonly #answering = new AsyncLocalStorage<true>();
  #made = 0;

  constructor() {
    subscribe('http.server.request.start', () => this.#answering.enterWith(true));
    createHook({
      init: (_id, type) => {
        if (type === 'Timeout' && this.#answering.getStore() && !madeByNode()) this.#made += 1;
      },
    }).enable();
  }

  get made(): number {
    return this.#made;
  }
}

function madeByNode(): boolean {
  const [, , , ...frames] = (new Error().stack ?? '').split('\n');
  const maker = frames.find((frame) => !TIMERS_THEMSELVES.test(frame));
  return maker !== undefined && NODES_HTTP_SERVER.test(maker);
}
