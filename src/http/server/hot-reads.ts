import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { TokenBroker } from '../../broker/token-broker.ts';
import type { CachedToken, TokenSlot } from '../../broker/token-cache.ts';
import type { Clock } from '../../token/clock.ts';
import type { Observer } from '../../token/observer.ts';
import type { BelievedPrincipal } from '../../token/principal.ts';
import type { SubjectId } from '../../token/subject.ts';
import type { AccountLimit, Allowance } from '../account-limit.ts';
import { tokenHeaders } from '../token-answer.ts';
import type { OverloadMonitor } from './overload.ts';
import { requestIdOf } from './request-hooks.ts';

export interface RepeatedReadsOptions {
  readonly tokens: Pick<TokenBroker, 'remembered' | 'mayHandOut' | 'handOut'>;
  readonly limit: AccountLimit;
  readonly observer: Pick<Observer, 'sessionChecked'>;
  readonly clock: Clock;
  /** The headers that hold a session; `undefined`: `Authorization`. */
  readonly sessionHeaders: readonly string[] | undefined;
  readonly overload: Pick<OverloadMonitor, 'isOverloaded'>;
  /** What every answer carries. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
}

/** A request that was answered with a token, and what it came down to. */
interface RememberedRead {
  /** What its session headers held, in their order. */
  readonly session: readonly (string | undefined)[];
  readonly caller: BelievedPrincipal;
  readonly allowance: Allowance;
  readonly id: SubjectId;
  slot: TokenSlot;
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
  readonly #known = new LRUCache<string, RememberedRead>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ session }, url) =>
      session.reduce((sum, text = '') => sum + text.length, ENTRY_BYTES + url.length),
  });

  /** Of an answer, names and values by turns, as Node takes them; what differs is put in for each. */
  readonly #headers: string[];
  readonly #etagAt: number;
  readonly #lengthAt: number;
  readonly #requestIdAt: number;

  constructor(options: RepeatedReadsOptions) {
    this.#options = options;
    const all = { ...options.headers, ...tokenHeaders({ etag: '', length: '' }), 'x-request-id': '' };
    const names = Object.keys(all);
    this.#headers = Object.entries(all).flat();
    [this.#etagAt = 0, this.#lengthAt = 0, this.#requestIdAt = 0] = ['etag', 'content-length', 'x-request-id'].map(
      (name) => 2 * names.indexOf(name) + 1,
    );
    this.#sessionHeaders = (options.sessionHeaders ?? ['authorization']).map((name) => name.toLowerCase());
  }

  /** Sees each request before the app does. */
  answerBefore(app: FastifyInstance): void {
    // The app's own listener is the first: it came with the server.
    const [serve, ...others] = app.server.listeners('request') as [RequestListener, ...RequestListener[]];
    app.server.removeAllListeners('request');
    app.server.on('request', (request, response) => {
      for (const other of others) other(request, response);
      if (this.#options.overload.isOverloaded() || !this.#answer(request, response)) serve(request, response);
    });
  }

  /** Remembers that this request is to be answered with the subject's token, if memory has it: who asks once takes none. */
  learn({ url = '', headers }: IncomingMessage, caller: BelievedPrincipal, id: SubjectId): void {
    const { clock, tokens, limit } = this.#options;
    const now = clock.now();
    const remembered = now < caller.believedUntil && tokens.remembered(id, caller.issuedAt, now);
    if (!remembered) return;
    const session = this.#sessionHeaders.map((name) => headers[name] as string | undefined);
    this.#known.set(url, { session, caller, allowance: limit(caller.unionId), id, slot: remembered.slot });
  }

  /** @returns whether it did */
  #answer(request: IncomingMessage, response: ServerResponse): boolean {
    const { tokens, observer, clock } = this.#options;
    const now = clock.now();
    const known = this.#find(request, now);
    const entry = known && this.#entryOf(known, now);
    if (!entry || !tokens.mayHandOut(entry, known.caller.issuedAt, now) || known.allowance()) return false;
    observer.sessionChecked('cached');
    const { etag, length, body } = tokens.handOut(known.id, entry, now);
    this.#headers[this.#etagAt] = etag;
    this.#headers[this.#lengthAt] = length;
    this.#headers[this.#requestIdAt] = requestIdOf(request);
    response.writeHead(200, this.#headers).end(body, 'latin1');
    return true;
  }

  /** Looked up again where memory had to forget it: it may have learnt another one since. */
  #entryOf(known: RememberedRead, now: number): CachedToken | undefined {
    if (known.slot.entry) return known.slot.entry;
    const found = this.#options.tokens.remembered(known.id, known.caller.issuedAt, now);
    if (found) known.slot = found.slot;
    return found;
  }

  #find({ method, url = '', headers }: IncomingMessage, now: number): RememberedRead | undefined {
    const known = this.#known.get(url);
    if (!known || now >= known.caller.believedUntil || this.#options.closing()) return undefined;
    if (method !== 'GET' || headers['if-none-match'] !== undefined) return undefined;
    for (let index = 0; index < known.session.length; index += 1) {
      if (headers[this.#sessionHeaders[index] ?? ''] !== known.session[index]) return undefined;
    }
    return known;
  }
}
