import type { AccountId } from './subject.ts';
import { ExplainedError, type Text, untranslated } from './text.ts';

interface ErrorKind {
  /** HTTP status. */
  readonly status: number;
  readonly title: string;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable: boolean;
  /**
   * The tokens that a renewal ends by failing with this error. `memory`: the store has already lost the token, by a
   * logout or an erasure, and memory must forget it. `account`: all of the account, and the store must forget them too.
   */
  readonly endsTokens?: 'memory' | 'account';
}

/** Every error code of the APIs, with its HTTP status. */
export const ERRORS = {
  request_invalid: { status: 400, title: 'The request is not valid', retryable: false },
  session_missing: { status: 401, title: 'A session is required', retryable: false },
  session_invalid: { status: 401, title: 'The session is not valid', retryable: false, endsTokens: 'memory' },
  session_expired: { status: 401, title: 'The session has expired', retryable: false },
  session_forbidden: {
    status: 403,
    title: 'The session does not permit this',
    retryable: false,
    endsTokens: 'memory',
  },
  account_disabled: {
    status: 403,
    title: 'The vendor has closed the account',
    retryable: false,
    endsTokens: 'account',
  },
  terminal_limit: { status: 403, title: 'The account has too many terminals', retryable: false },
  not_found: { status: 404, title: 'There is nothing at this address', retryable: false },
  method_not_allowed: { status: 405, title: 'This address has no such method', retryable: false },
  rate_limited: { status: 429, title: 'Too many requests', retryable: true },
  internal: { status: 500, title: 'The broker failed', retryable: true },
  vendor_rejected: { status: 502, title: 'The vendor refused the login', retryable: false },
  vendor_unavailable: { status: 503, title: 'The vendor cannot be used at this moment', retryable: true },
  vendor_busy: { status: 503, title: 'Too many vendor logins at this moment', retryable: true },
  session_check_unavailable: {
    status: 503,
    title: 'The session cannot be checked at this moment',
    retryable: true,
  },
  store_unavailable: { status: 503, title: 'The token store cannot be used', retryable: true },
  shutting_down: { status: 503, title: 'This replica is shutting down', retryable: true },
  vendor_timeout: { status: 504, title: 'The vendor did not answer in time', retryable: true },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

const OF_ADDRESSES: readonly ErrorCode[] = ['not_found', 'method_not_allowed'];

/** The errors that a read of a token can end with. */
export const READ_ERRORS = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !OF_ADDRESSES.includes(code));

/** The errors that a login at the vendor can end with. */
export const LOGIN_ERRORS = [
  'account_disabled',
  'vendor_rejected',
  'vendor_unavailable',
  'vendor_busy',
  'vendor_timeout',
] as const satisfies readonly ErrorCode[];

/** The tokens that have ended if a renewal fails with this error: `endsTokens` in {@link ERRORS}. */
export function tokensEndedBy(code: ErrorCode): ErrorKind['endsTokens'] {
  const kind: ErrorKind = ERRORS[code];
  return kind.endsTokens;
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

/** `malformed`: it has not even the form of a session. `unknown_key`: its key is unknown, or its signature is wrong. */
export type SessionFault = 'malformed' | 'unknown_key';

export interface BrokerErrorOptions {
  /** Instead of the title in {@link ERRORS}, if it can say more. */
  readonly title?: string | undefined;
  /** Text for the caller: the mistake and the allowed values. Never contains a secret, a token or an account id. */
  readonly detail?: string | Text;
  /** Seconds after which a retry makes sense, a whole number. */
  readonly retryAfter?: number | undefined;
  /** Ms that the login queue asks to wait, or the vendor, if logins of the account are too frequent. */
  readonly waitMs?: number;
  /** The vendor's result code. */
  readonly vendorCode?: number | undefined;
  /** Whether no attempt of a login was sent to the vendor. */
  readonly isUnsent?: boolean;
  /** Only for the log: the account, if the request does not tell. */
  readonly account?: AccountId;
  /** Only for the metrics and the findings: how a session differs from those that the cloud issues. */
  readonly sessionFault?: SessionFault | undefined;
  /** Only for the log. */
  readonly cause?: unknown;
}

/** The only error that callers see. The API turns every other error into `internal`. */
export class BrokerError extends ExplainedError {
  override readonly name: string = 'BrokerError';
  readonly code: ErrorCode;
  readonly title: string;
  readonly detail: string | undefined;
  readonly retryAfter: number | undefined;
  readonly waitMs: number | undefined;
  readonly vendorCode: number | undefined;
  readonly account: AccountId | undefined;
  readonly sessionFault: SessionFault | undefined;
  readonly #isUnsent: boolean | undefined;

  constructor(code: ErrorCode, options: BrokerErrorOptions = {}) {
    const { detail, title = ERRORS[code].title } = options;
    super(typeof detail === 'object' ? detail : untranslated(detail ?? title), { cause: options.cause });
    this.code = code;
    this.title = title;
    this.detail = detail === undefined ? undefined : this.message;
    this.retryAfter = options.retryAfter;
    this.waitMs = options.waitMs;
    this.vendorCode = options.vendorCode;
    this.account = options.account;
    this.sessionFault = options.sessionFault;
    this.#isUnsent = options.isUnsent;
  }

  /** Whether no attempt of a login was sent to the vendor. Then the login does not count against a limit. */
  get isUnsent(): boolean {
    return this.#isUnsent ?? this.code === 'vendor_busy';
  }
}

/** Not sent: when its turn came, its lease had expired, memory had a token, or a logout or an erasure had ended it. */
export class LoginNotSent extends BrokerError {
  override readonly name = 'LoginNotSent';

  constructor() {
    super('vendor_busy', { retryAfter: 1 });
  }
}
