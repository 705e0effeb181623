import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { Clock } from '../token/clock.ts';
import type { Observer } from '../token/observer.ts';
import type { BelievedPrincipal } from '../token/principal.ts';
import type { ServedToken } from '../token/sdk-token.ts';
import type { SubjectId } from '../token/subject.ts';
import type { AccountLimit } from './account-limit.ts';
import { requestIdOf } from './request-id.ts';
import { tokenHeaders } from './token-answer.ts';

export interface RepeatedReadsOptions {
  readonly tokens: Pick<TokenBroker, 'remembered' | 'handOut'>;
  readonly limit: AccountLimit;
  readonly observer: Pick<Observer, 'sessionChecked'>;
  readonly clock: Clock;
  /** The headers that hold a session; `undefined`: `Authorization`. */
  readonly sessionHeaders: readonly string[] | undefined;
  /** What every answer carries. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
}

/** A request that was answered with a token, and what it came down to. */
interface Known {
  /** What its session headers held, in their order. */
  readonly session: readonly (string | undefined)[];
  readonly caller: BelievedPrincipal;
  readonly id: SubjectId;
  /** The token it was answered with last, and the headers of that answer as Node takes them. */
  served?: ServedToken;
  headers: string[];
}

const MAX_BYTES = 16 * 1_048_576;
/** About what one entry takes besides its URL and its session. */
const ENTRY_BYTES = 512;

/**
 * Answers a `GET /sdk-token` that was asked before, word for word, by the same session: while that is believed and the
 * token is fresh in memory, nothing has to be routed, parsed or checked anew. Whatever else arrives is the app's, whose
 * answer would be the same.
 */
export class RepeatedReads {
  readonly #options: RepeatedReadsOptions;
  readonly #sessionHeaders: readonly string[];
  readonly #known = new LRUCache<string, Known>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ session }, url) =>
      session.reduce((sum, text = '') => sum + text.length, ENTRY_BYTES + url.length),
  });

  constructor(options: RepeatedReadsOptions) {
    this.#options = options;
    this.#sessionHeaders = (options.sessionHeaders ?? ['authorization']).map((name) => name.toLowerCase());
  }

  /** Sees each request before the app does. */
  answerBefore(app: FastifyInstance): void {
    // The app's own listener is the first: it came with the server.
    const [serve, ...others] = app.server.listeners('request') as [RequestListener, ...RequestListener[]];
    app.server.removeAllListeners('request');
    app.server.on('request', (request, response) => {
      for (const other of others) other(request, response);
      if (app.isUnderPressure() || !this.#answer(request, response)) serve(request, response);
    });
  }

  /** Remembers that this request is to be answered with the subject's token, if memory has it: who asks once takes none. */
  learn({ url = '', headers }: IncomingMessage, caller: BelievedPrincipal, id: SubjectId): void {
    const { clock, tokens } = this.#options;
    const now = clock.now();
    if (now >= caller.believedUntil || !tokens.remembered(id, caller.issuedAt, now)) return;
    const session = this.#sessionHeaders.map((name) => headers[name] as string | undefined);
    this.#known.set(url, { session, caller, id, headers: [] });
  }

  /** @returns whether it did */
  #answer(request: IncomingMessage, response: ServerResponse): boolean {
    const { tokens, limit, observer, clock } = this.#options;
    const now = clock.now();
    const known = this.#find(request, now);
    const remembered = known && tokens.remembered(known.id, known.caller.issuedAt, now);
    if (!remembered || limit(known.caller.unionId)) return false;
    observer.sessionChecked('cached');
    const served = tokens.handOut(known.id, remembered, now);
    if (known.served !== served) {
      known.served = served;
      known.headers = Object.entries({ ...this.#options.headers, ...tokenHeaders(served), 'x-request-id': '' }).flat();
    }
    known.headers[known.headers.length - 1] = requestIdOf(request);
    response.writeHead(200, known.headers).end(served.body);
    return true;
  }

  #find({ method, url = '', headers }: IncomingMessage, now: number): Known | undefined {
    const known = this.#known.get(url);
    if (!known || now >= known.caller.believedUntil || this.#options.closing()) return undefined;
    if (method !== 'GET' || headers['if-none-match'] !== undefined) return undefined;
    return this.#sessionHeaders.every((name, index) => headers[name] === known.session[index]) ? known : undefined;
  }
}
