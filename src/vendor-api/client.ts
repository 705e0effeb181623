import { type Agent, type Dispatcher, errors } from 'undici';
import { type Clock, withTimeout } from '../token/clock.ts';
import { answerFault, BrokenAnswer, readRetryAfter } from './answer.ts';
import { type FaultFacts, VendorFault } from './faults.ts';
import type { PreparedLogin } from './signed-call.ts';

const MAX_RESPONSE_BYTES = 256 * 1024;
/** Per origin. */
const MAX_CONNECTIONS = 64;

/** The places for attempts at one origin, one for each connection. First come, first served. */
export function connectionPlaces(clock: Clock) {
  let free = MAX_CONNECTIONS;
  const waiting = new Set<() => void>();
  return { take, giveBack };

  /** Takes a place. @returns `false` if none becomes free within `ms` */
  async function take(ms: number): Promise<boolean> {
    if (free === 0) return waitForPlace(ms);
    free -= 1;
    return true;
  }

  function giveBack(): void {
    const [next] = waiting;
    if (next) next();
    else free += 1;
  }

  function waitForPlace(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isTaken: boolean): void => {
        timer.cancel();
        waiting.delete(take);
        resolve(isTaken);
      };
      const take = () => end(true);
      const timer = clock.setTimer(() => end(false), ms);
      waiting.add(take);
    });
  }
}

export interface VendorResponse {
  readonly status: number;
  readonly text: string;
  /** The `Date` header: epoch ms by the vendor's clock. */
  readonly dateHeader: number | undefined;
  /** The `Retry-After` header: whole seconds, at most 3600. */
  readonly retryAfter: number | undefined;
}

export interface VendorClientOptions {
  readonly clock: Clock;
  /** For opening a connection. */
  readonly connectTimeoutMs: number;
  /** How the broker names itself. */
  readonly userAgent: string;
  /** Opens the connections: directly, or through a proxy. */
  readonly openAgent: (options: Agent.Options) => Agent;
}

/** Sends one request and reads one answer. It follows no redirects, does not retry, and keeps connections alive. */
export class VendorClient {
  readonly #agent: Agent;
  readonly #clock: Clock;
  /** Firewalls and proxies often refuse requests without them. */
  readonly #headers: Readonly<Record<string, string>>;

  constructor({ clock, connectTimeoutMs, userAgent, openAgent }: VendorClientOptions) {
    this.#clock = clock;
    this.#headers = { accept: 'application/json', 'user-agent': userAgent };
    this.#agent = openAgent({
      connections: MAX_CONNECTIONS,
      connectTimeout: connectTimeoutMs,
      maxResponseSize: MAX_RESPONSE_BYTES,
      // undici limits the size of HTTP/1.1 answers only.
      allowH2: false,
    });
  }

  /**
   * @param timeoutMs from now to the last byte, including the wait for a connection
   * @throws VendorFault `timeout`, `unreachable`, `too_large` (over 256 KiB), `broken_answer` (not UTF-8). For the last
   *   two, an error page is what its HTTP status says: `too_frequent`, `outage`
   */
  async post(request: PreparedLogin, timeoutMs: number): Promise<VendorResponse> {
    const deadline = new AbortController();
    // undici reacts to the signal only after it has a connection. The race covers the wait for one.
    const response = await withTimeout(this.#clock, timeoutMs, this.#exchange(request, deadline.signal));
    if (response) return response;
    deadline.abort();
    throw new VendorFault('timeout');
  }

  /** Aborts the requests that are still in flight. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #exchange({ url, headers: signed, body }: PreparedLogin, signal: AbortSignal): Promise<VendorResponse> {
    let facts: FaultFacts = {};
    try {
      const { origin, pathname: path } = url;
      const headers = { ...this.#headers, ...signed };
      const response = await this.#agent.request({ origin, path, method: 'POST', headers, body, signal });
      const dateHeader = readDate(header(response, 'date'));
      const retryAfter = readRetryAfter(header(response, 'retry-after'), dateHeader ?? this.#clock.now());
      facts = { httpStatus: response.statusCode, retryAfter };
      return {
        status: response.statusCode,
        text: decode(await response.body.arrayBuffer()),
        dateHeader,
        retryAfter,
      };
    } catch (error) {
      throw asFault(error, facts);
    }
  }
}

/** Carries one request to the vendor and its answer back. */
export type VendorTransport = Pick<VendorClient, 'post'>;

function decode(bytes: ArrayBuffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new BrokenAnswer('the answer is not UTF-8');
  }
}

function header({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function readDate(value: string | undefined): number | undefined {
  const date = Date.parse(value ?? '');
  return Number.isNaN(date) ? undefined : date;
}

/** Keeps only an error's code: errors of undici may contain parts of the answer. @param facts of its headers, if any */
function asFault(error: unknown, facts: FaultFacts): VendorFault {
  if (error instanceof BrokenAnswer) return error.toFault(facts);
  if (error instanceof errors.ConnectTimeoutError) return new VendorFault('timeout');
  if (error instanceof errors.ResponseExceededMaxSizeError) return answerFault('too_large', facts);
  return new VendorFault('unreachable', { problem: (error as NodeJS.ErrnoException).code });
}
