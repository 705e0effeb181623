import { BrokerError, errorOf, networkTimeout, networkUnavailable, sourceFailed } from './broker-error.js';
import type { Call } from './call.js';
import { MAX_ANSWER_LENGTH, type Transport, type TransportAnswer, type TransportRequest } from './transport.js';

/** The app's own login. Whatever it throws, except `NoSession`, counts as temporary. */
export interface SessionSource {
  /** Returns the session that the app has, without a request. */
  session(): string | Promise<string>;
  /**
   * Returns another session than the `refused` one. If the app has one already, it may return that. The client never
   * asks twice at the same time, and nothing that happens to its callers interrupts the renewal.
   */
  renewedSession(refused: string): string | Promise<string>;
}

export type Request = Pick<TransportRequest, 'method' | 'url' | 'headers'>;

/** Sends requests with a session: renewed once after 401, and repeated while that helps. */
export class SessionRequests {
  /** The last one. `renewed` is its session, once the source has answered. */
  private renewal: { readonly refused: string; readonly session: Promise<string>; renewed?: string } | undefined;
  private readonly source: SessionSource;
  private readonly transport: Transport;
  private readonly attemptTimeoutMs: number;

  constructor(source: SessionSource, transport: Transport, attemptTimeoutMs: number) {
    this.source = source;
    this.transport = transport;
    this.attemptTimeoutMs = attemptTimeoutMs;
  }

  /**
   * @param accepted statuses that are an answer
   * @returns the answer, and the session with which the request was made
   * @throws BrokerError for every other answer, and if there is none
   */
  async send(request: Request, accepted: readonly number[], call: Call): Promise<readonly [TransportAnswer, string]> {
    let session = await this.session(call);
    let isRenewed = false;
    for (let backoffMs = 1_000; ; ) {
      try {
        return [await this.attempt(request, accepted, session, call), session];
      } catch (error) {
        if (call.isOver || !(error instanceof BrokerError)) throw error;
        if (error.details.status === 401 && !isRenewed) {
          // One that another request has brought may have ended by now.
          const known = this.renewal?.refused === session ? this.renewal.renewed : undefined;
          isRenewed = known === undefined;
          session = known ?? (await this.fromSource(() => this.renewed(session), call));
          continue;
        }
        const { status, retryable, retryAfter } = error.details;
        // Without a network the app learns it at once: the app knows best when the network is back.
        if (status === 401 || !retryable || error.code === 'network_unavailable') throw error;
        // The random part keeps apart the phones that lost the broker at the same time.
        const waitMs = retryAfter ? retryAfter * 1_000 : backoffMs * (0.5 + Math.random() / 2);
        if (!call.hasTimeFor(waitMs)) throw error;
        backoffMs *= 2;
        await call.sleep(waitMs);
      }
    }
  }

  /** The session that the app has. */
  session(call: Call): Promise<string> {
    return this.fromSource(() => this.source.session(), call);
  }

  /** One request, without a renewal and without a repetition. */
  async attempt(request: Request, accepted: readonly number[], session: string, call: Call): Promise<TransportAnswer> {
    // A line break in a header would start another header.
    if (!/^[\x20-\x7e]*$/.test(session)) throw new BrokerError('SESSION_NEEDED', 'session_invalid');
    const controller = typeof AbortController === 'undefined' ? undefined : new AbortController();
    const headers = { ...request.headers, Authorization: `Bearer ${session}` };
    const timeoutMs = this.attemptTimeoutMs + 1_000;
    const send = async () => this.transport({ ...request, headers, timeoutMs, signal: controller?.signal });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(networkTimeout()), this.attemptTimeoutMs);
    });
    try {
      const sent = send().catch((error) => Promise.reject(networkUnavailable(error)));
      const answer = await call.waitFor(Promise.race([timeout, sent]));
      const isTooLong = answer.text.length > MAX_ANSWER_LENGTH;
      if (isTooLong) throw new BrokerError('UNEXPECTED_ANSWER', 'unexpected_answer', { status: answer.status });
      if (accepted.indexOf(answer.status) < 0) throw errorOf(answer, session);
      return answer;
    } finally {
      clearTimeout(timer);
      controller?.abort();
    }
  }

  private async fromSource(ask: () => string | Promise<string>, call: Call): Promise<string> {
    const asked = Promise.resolve().then(ask);
    const session = await call.waitFor(asked.catch((error) => Promise.reject(sourceFailed(error))));
    if (typeof session === 'string') return session;
    throw sourceFailed(new Error('the session is no string: throw NoSession if the user has to log in'));
  }

  /** One renewal at a time, always to its end. Every request that was refused with the same session gets its result. */
  private renewed(refused: string): Promise<string> {
    if (this.renewal?.refused === refused) return this.renewal.session;
    const before = this.renewal ? this.renewal.session.catch(() => undefined) : Promise.resolve();
    const session = before.then(() => this.source.renewedSession(refused));
    const renewal: NonNullable<typeof this.renewal> = { refused, session };
    const forget = () => {
      if (this.renewal === renewal) this.renewal = undefined;
    };
    this.renewal = renewal;
    session.then((renewed) => {
      // A source that has no other session is asked again the next time.
      if (renewed === refused || typeof renewed !== 'string') forget();
      else renewal.renewed = renewed;
    }, forget);
    return session;
  }
}
