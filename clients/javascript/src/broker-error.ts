import type { TransportAnswer } from './transport.js';

export type BrokerErrorKind =
  /** The session has ended, also after one renewal, or there is none: the user has to log in to the app's cloud. */
  | 'SESSION_NEEDED'
  /** The user has logged out, or another user has logged in, during the call: nothing to show. */
  | 'LOGGED_OUT'
  /** HTTP 403, for example `terminal_limit`: tell the user. */
  | 'FORBIDDEN'
  | 'RATE_LIMITED'
  /** The vendor refused the login, or did not answer. */
  | 'VENDOR_TROUBLE'
  /** The broker, or the app's own login, cannot answer at this moment. */
  | 'TEMPORARY'
  /** A mistake in the app or in its settings. */
  | 'INVALID_REQUEST'
  /** No answer: no network or a timeout. */
  | 'NETWORK'
  /** Something else answered, for example the login page of a public Wi-Fi network. */
  | 'UNEXPECTED_ANSWER';

/** Why a call failed. The message contains no session and no token, so it may go into the app's log. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly kind: BrokerErrorKind;
  readonly code: string;
  readonly details: BrokerErrorDetails;

  /**
   * For the client, and for the app's own tests.
   * @param code the broker's code, or `network_unavailable`, `network_timeout`, `session_unavailable`, `logged_out` or
   *   `unexpected_answer`
   */
  constructor(kind: BrokerErrorKind, code: string, details: BrokerErrorDetails = {}) {
    const { detail, requestId } = details;
    super([code, detail, requestId && `request ${requestId}`].filter(Boolean).join(', '));
    this.kind = kind;
    this.code = code;
    this.details = details;
  }
}

export interface BrokerErrorDetails {
  /** HTTP status. Missing without an answer. */
  readonly status?: number | undefined;
  /** The broker's sentence about the error, for developers. */
  readonly detail?: string | undefined;
  /** Names the request in the broker's log. */
  readonly requestId?: string | undefined;
  /** Whether the same call may succeed later. */
  readonly retryable?: boolean | undefined;
  /** Seconds after which a retry makes sense. */
  readonly retryAfter?: number | undefined;
  /** What the session source or the transport threw. */
  readonly cause?: unknown;
}

/** A session source throws it if the user has to log in. Whatever else it throws is temporary, and logs nobody out. */
export class NoSession extends Error {
  override readonly name = 'NoSession';
}

export const loggedOut = (): BrokerError => new BrokerError('LOGGED_OUT', 'logged_out');
export const networkTimeout = (): BrokerError => new BrokerError('NETWORK', 'network_timeout', { retryable: true });
export const networkUnavailable = (cause: unknown): BrokerError =>
  new BrokerError('NETWORK', 'network_unavailable', { retryable: true, cause });

/** The error that a failure of the session source stands for. The network error of `fetch` is a `TypeError`. */
export function sourceFailed(cause: unknown): BrokerError {
  if (cause instanceof NoSession) return new BrokerError('SESSION_NEEDED', 'session_unavailable', { cause });
  if (cause instanceof BrokerError && cause.kind === 'NETWORK') return cause;
  if (cause instanceof TypeError) return networkUnavailable(cause);
  return new BrokerError('TEMPORARY', 'session_unavailable', { retryable: true, cause });
}

/** The error that an answer stands for, if it is none of those that the call expects. */
export function errorOf(answer: TransportAnswer, session: string): BrokerError {
  const { status } = answer;
  const retryAfter = secondsOf(headerOf(answer, 'Retry-After'));
  const problem = jsonOf(answer.text);
  const code = status >= 400 ? stringOf(problem['code']) : undefined;
  if (code === undefined) {
    // Something in between may refuse the session, too.
    if (status === 401) return new BrokerError('SESSION_NEEDED', 'session_invalid', { status });
    // A load balancer answers with these statuses while it reaches no replica.
    const retryable = [429, 502, 503, 504].indexOf(status) >= 0;
    return new BrokerError('UNEXPECTED_ANSWER', 'unexpected_answer', { status, retryable, retryAfter });
  }
  const sentence = stringOf(problem['detail']);
  return new BrokerError(kindOf(code, status), code, {
    status,
    // The sentence of a gateway about the headers may repeat the session. The broker's never does.
    detail: sentence?.includes(session) ? undefined : sentence,
    requestId: stringOf(problem['requestId']),
    retryable: problem['retryable'] === true,
    retryAfter,
  });
}

/** By the status, so that a code of a later broker has a kind, too. */
function kindOf(code: string, status: number): BrokerErrorKind {
  if (status === 401) return 'SESSION_NEEDED';
  if (code.startsWith('vendor_')) return 'VENDOR_TROUBLE';
  if (status === 403) return 'FORBIDDEN';
  if (status === 429) return 'RATE_LIMITED';
  return status < 500 ? 'INVALID_REQUEST' : 'TEMPORARY';
}

/** @param header seconds or a date. 0, the past and anything else count as none: no loop without a pause */
function secondsOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const isDate = /^\w{3,}, .* GMT$/.test(header);
  const seconds = isDate ? Math.ceil((Date.parse(header) - Date.now()) / 1_000) : /^\d+$/.test(header) ? +header : 0;
  return seconds > 0 ? seconds : undefined;
}

export function headerOf({ headers }: TransportAnswer, name: string): string | undefined {
  const found = Object.keys(headers).find((key) => key.toLowerCase() === name.toLowerCase());
  return found === undefined ? undefined : headers[found];
}

/** The object that the text contains. An empty one if it contains none. */
export function jsonOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

export const stringOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
