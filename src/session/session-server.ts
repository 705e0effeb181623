import { isUtf8 } from 'node:buffer';
import { Agent, buildConnector, type Dispatcher, Pool, request } from 'undici';
import { type Clock, withTimeout } from '../token/clock.ts';
import type { ContactHistory } from '../token/contact-history.ts';
import { BrokerError } from '../token/errors.ts';
import { SESSION_REASONS } from '../token/session-reasons.ts';
import type { AccountId } from '../token/subject.ts';
import { ExplainedError, type Text } from '../token/text.ts';

const RETRY_AFTER_SECONDS = 2;
/** From the start of the connection to the last byte, while the event loop runs. */
const TIMEOUT_MS = 3_000;
const MAX_BYTES = 65_536;

/** A session could be neither accepted nor refused. @param cause for the log; no secrets */
export function sessionCheckUnavailable(cause: unknown): BrokerError {
  return new BrokerError('session_check_unavailable', { retryAfter: RETRY_AFTER_SECONDS, cause });
}

/** A session server answered with an HTTP status that neither accepts nor refuses the session. */
export class UnexpectedStatus extends ExplainedError {
  override readonly name = 'UnexpectedStatus';
  readonly status: number;

  constructor(status: number, reasonOf: (status: number) => Text) {
    super(reasonOf(status));
    this.status = status;
  }
}

/** A session server answered with more than the broker reads. */
export class AnswerTooLarge extends ExplainedError {
  override readonly name = 'AnswerTooLarge';
}

/** The code of the connection error, or `undefined` if the server answered. */
export function networkErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'TimeoutError') return 'timeout';
  if ('code' in error && typeof error.code === 'string' && /^[A-Z_0-9]+$/.test(error.code)) return error.code;
  return networkErrorCode(error.cause);
}

/** In a word, without anything that the server sent. */
function failureReason(error: unknown): string {
  if (error instanceof UnexpectedStatus) return `HTTP ${error.status}`;
  return networkErrorCode(error) ?? 'broken answer';
}

/**
 * Asks the session server, and notes whether it answered. A refusal is a success, an undecided answer a failure.
 * @param judge throws BrokerError `session_check_unavailable` if the answer decides nothing
 */
export async function noteContact<Answer>(
  { clock, contact }: SessionServerAccess,
  ask: () => Promise<Answer>,
  judge?: (answer: Answer) => unknown,
): Promise<Answer> {
  let answer: Answer | undefined;
  try {
    answer = await ask();
    judge?.(answer);
    contact?.succeeded(clock.now());
    return answer;
  } catch (error) {
    const { code } = error instanceof BrokerError ? error : {};
    if (code === 'session_invalid') contact?.succeeded(clock.now());
    else contact?.failed({ at: clock.now(), reason: failureReason(error) });
    if (answer !== undefined) return answer;
    throw error;
  }
}

/** How the broker names itself in its requests to session servers. */
export function userAgentOf(version: string): string {
  return `sdk-token-broker/${version}`;
}

/** The parts by which a verifier reaches a session server. */
export interface SessionServerAccess {
  readonly clock: Clock;
  /** The `User-Agent` of the requests. Without it, they have none. */
  readonly userAgent?: string | undefined;
  /** Notes whether the server has answered. */
  readonly contact?: ContactHistory | undefined;
  /** Default: no proxy. */
  readonly connections?: SessionConnections | undefined;
}

export interface SessionServerRequest {
  /** Default: `GET`. */
  readonly method?: 'GET' | 'POST';
  /** By lower-case name. Nothing is added but the user agent and the headers of the connection. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * Fetches text of at most `maxBytes` (default 64 KiB) within 3 s. Redirects are not followed. The body is read
 * completely, whatever the status. It must be UTF-8, and not compressed, which the request does not ask for: with a
 * status from 300 on, another body counts as empty. A request is sent once more, within the 3 s, if the server closed a
 * connection without an answer on which it had answered before.
 * @throws Error on a network error, if the body is too large or no text, and with the name `TimeoutError` after 3 s
 */
export async function boundedFetch(
  url: string | URL,
  { headers, ...methodAndBody }: SessionServerRequest,
  { clock, userAgent, connections = direct }: SessionServerAccess,
  maxBytes = MAX_BYTES,
): Promise<Response> {
  const abort = new AbortController();
  const named = { 'user-agent': userAgent, ...headers };
  // Not fetch: it adds headers of a browser, which some clouds take for a sign of one.
  const options = { ...methodAndBody, headers: named, signal: abort.signal };
  const sent = request(url, { ...options, dispatcher: connections.kept }).catch((error) => {
    if (endsOfUsed.has(error)) return request(url, { ...options, dispatcher: connections.fresh });
    throw error;
  });
  const answer = sent.then((received) => readBounded(received, maxBytes));
  const inTime = await withTimeout(clock, TIMEOUT_MS, answer);
  if (inTime) return inTime;
  const timeout = new DOMException(`no answer within ${TIMEOUT_MS} ms`, 'TimeoutError');
  abort.abort(timeout);
  throw timeout;
}

/** Other errors of a connection mean that its answer is broken. */
const CODES_OF_END: ReadonlySet<string | undefined> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);
/**
 * Errors of connections that the server closed after it had answered on them, perhaps idle at the moment when the next
 * request was sent (RFC 9112 §9.3.1). It is a reset if the request has arrived, but was not read.
 */
const endsOfUsed = new WeakSet<Error>();

function watchedPool(origin: string | URL, options: Pool.Options): Dispatcher {
  const connect = typeof options.connect === 'function' ? options.connect : buildConnector({});
  const watched: buildConnector.connector = (target, callback) =>
    connect(target, (...result) => {
      const [, socket] = result;
      // A proxy has already answered on it.
      const bytesBefore = socket?.bytesRead ?? 0;
      socket?.once('error', (error: NodeJS.ErrnoException) => {
        if (socket.bytesRead > bytesBefore && CODES_OF_END.has(error.code)) endsOfUsed.add(error);
      });
      callback(...result);
    });
  return new Pool(origin, { ...options, connect: watched });
}

/** The connections to session servers. */
export class SessionConnections {
  readonly kept: Dispatcher;
  /** For one request each: after a burst, the server closes idle connections at once, perhaps another kept one too. */
  readonly fresh: Dispatcher;

  /** @param openAgent opens the connections: directly, or through a proxy */
  constructor(openAgent: (options: Agent.Options) => Dispatcher) {
    this.kept = openAgent({ factory: watchedPool });
    this.fresh = openAgent({ pipelining: 0 });
  }
}

const direct = new SessionConnections((options) => new Agent(options));

async function readBounded(answer: Dispatcher.ResponseData, maxBytes: number): Promise<Response> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.byteLength;
    if (length > maxBytes) throw new AnswerTooLarge(SESSION_REASONS.tooManyBytes(maxBytes));
    chunks.push(chunk);
  }
  const { statusCode: status } = answer;
  const { 'content-encoding': encoding = 'identity' } = answer.headers;
  const body = Buffer.concat(chunks);
  // Lenient decoding would turn different names in another encoding into the same replacement characters.
  const isText = encoding === 'identity' && isUtf8(body);
  // The error page of a proxy may be anything.
  if (!isText && status < 300) throw new ExplainedError(SESSION_REASONS.noText);
  const headers = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]);
  // A status without content, such as 204, does not allow even an empty body.
  return new Response(isText && length > 0 ? body : null, { status, headers });
}

/** Questions to the session server at the same time. */
const MAX_IN_FLIGHT = 64;
/** Of these, this many are only for sessions that were accepted before. */
const RESERVED_FOR_KNOWN = 16;
/** Of these, at most this many are for such sessions of one account: the server may hang for one account alone. */
const MAX_PER_ACCOUNT = 8;
/** Questions that wait, of known and of unknown sessions each. */
const MAX_WAITING = 1_000;
/** How long a question waits for its turn. The answer may take 3 s more. */
const MAX_WAIT_MS = 2_000;

/** A waiting question. It has an account if its session was accepted before. */
interface Waiting {
  readonly account: AccountId | undefined;
  readonly start: () => void;
}

/** Limits the questions to the session server that made-up sessions cause. Known ones have own places, and go first. */
export function questionQueue(clock: Clock) {
  let inFlight = 0;
  const inFlightOf = new Map<AccountId, number>();
  /** In order. */
  const known = new Set<Waiting>();
  const unknown = new Set<Waiting>();
  return { run };

  /** @param account if the session was accepted before @throws BrokerError `session_check_unavailable` if too late */
  async function run<Answer>(question: () => Answer | Promise<Answer>, account?: AccountId): Promise<Answer> {
    if (hasPlace(account)) count(account, 1);
    else await waitForPlace(account);
    try {
      return await question();
    } finally {
      // A question that starts in this turn of the event loop would open another connection.
      clock.setTimer(() => {
        count(account, -1);
        startNext();
      }, 0);
    }
  }

  function hasPlace(account: AccountId | undefined): boolean {
    if (account === undefined) return inFlight < MAX_IN_FLIGHT - RESERVED_FOR_KNOWN;
    return inFlight < MAX_IN_FLIGHT && (inFlightOf.get(account) ?? 0) < MAX_PER_ACCOUNT;
  }

  function count(account: AccountId | undefined, change: 1 | -1): void {
    inFlight += change;
    if (account === undefined) return;
    const left = (inFlightOf.get(account) ?? 0) + change;
    if (left > 0) inFlightOf.set(account, left);
    else inFlightOf.delete(account);
  }

  async function waitForPlace(account: AccountId | undefined): Promise<void> {
    const queue = account === undefined ? unknown : known;
    if (queue.size >= MAX_WAITING) throw sessionCheckUnavailable(new Error('Too many questions wait'));
    await new Promise<void>((resolve, reject) => {
      const timer = clock.setTimer(() => {
        queue.delete(waiting);
        reject(sessionCheckUnavailable(new Error(`A question waited for ${MAX_WAIT_MS} ms`)));
      }, MAX_WAIT_MS);
      const start = () => {
        queue.delete(waiting);
        timer.cancel();
        count(account, 1);
        resolve();
      };
      const waiting = { account, start };
      queue.add(waiting);
    });
  }

  function startNext(): void {
    for (const { account, start } of known) {
      if (!hasPlace(account)) continue;
      start();
      return;
    }
    const [stranger] = unknown;
    if (stranger && hasPlace(undefined)) stranger.start();
  }
}
