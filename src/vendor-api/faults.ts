import { BrokerError, type LOGIN_ERRORS } from '../token/errors.ts';
import type { LoginOutcome } from '../token/observer.ts';

/** Why a login attempt brought no token. `circuit_open`: too many attempts failed before, so nothing was sent. */
export type FaultKind = Exclude<LoginOutcome, 'success' | 'busy'>;

/** Details of a failed login. They hold no secrets, and no text of the vendor except its request id. */
export interface FaultFacts {
  /** The exact problem, in the broker's own words. */
  readonly problem?: string | undefined;
  readonly httpStatus?: number;
  /** The vendor's result code. */
  readonly vendorCode?: number;
  readonly vendorRequestId?: string;
  /** Whole seconds that the vendor asks the broker to wait. */
  readonly retryAfter?: number | undefined;
}

/** A login attempt that brought no token. */
export class VendorFault extends Error {
  readonly kind: FaultKind;
  readonly facts: FaultFacts;

  constructor(kind: FaultKind, facts: FaultFacts = {}) {
    super(facts.problem === undefined ? kind : `${kind}: ${facts.problem}`);
    this.name = 'VendorFault';
    this.kind = kind;
    this.facts = facts;
  }
}

/** How the broker reacts to a fault. */
interface FaultRule {
  /** The error code for the caller. */
  readonly code: (typeof LOGIN_ERRORS)[number];
  /** The detail for the caller. */
  readonly detail?: string;
  /** `error`: an operator must act. */
  readonly level: 'debug' | 'warn' | 'error';
  /** The log message: the event and, for `error`, the things to check. */
  readonly message: string;
  /** Present if a retry makes sense. `answer_lost`: the login may have succeeded, so it gets one retry at most. */
  readonly retry?: 'answered' | 'answer_lost';
  /** Counted by the circuit breaker: the service failed. A well-formed answer to one account is none: it backs off. */
  readonly isOutage: boolean;
}

const REFUSED = { code: 'vendor_rejected', level: 'error', isOutage: false } as const;
const PASSING = { code: 'vendor_unavailable', level: 'warn', retry: 'answered', isOutage: false } as const;
const OUTAGE = { ...PASSING, isOutage: true } as const;
const ANSWER_LOST = { ...OUTAGE, retry: 'answer_lost' } as const;

const RULES: Readonly<Record<FaultKind, FaultRule>> = {
  clock_skew: {
    ...REFUSED,
    message: "vendor refuses the timestamp even by its own clock: check this host's clock and the vendor's Date header",
  },
  configuration: {
    ...REFUSED,
    message: "vendor refuses the app or its signature: check appId, appToken, appKey, accessId and the region's domain",
  },
  request: {
    ...REFUSED,
    level: 'warn',
    message: 'vendor refuses a field of the login',
    detail: 'The vendor refuses the account, the uniqueId or the region as malformed or out of range',
  },
  account_closed: { ...REFUSED, code: 'account_disabled', level: 'warn', message: 'vendor has closed the account' },
  too_frequent: { ...PASSING, message: 'vendor limits the rate of logins' },
  maintenance: { ...OUTAGE, message: 'vendor is under maintenance' },
  unknown: { ...PASSING, message: 'vendor answered with an unknown result code' },
  outage: { ...OUTAGE, message: 'vendor answered with an HTTP error and no result code' },
  unreachable: { ...ANSWER_LOST, message: 'vendor cannot be reached' },
  timeout: { ...ANSWER_LOST, code: 'vendor_timeout', message: 'vendor did not answer in time' },
  too_large: {
    ...ANSWER_LOST,
    level: 'error',
    message: "vendor's answer is too large for a login answer: check the domain",
  },
  broken_answer: {
    ...ANSWER_LOST,
    level: 'error',
    message: "vendor's answer does not follow its protocol: check the domain",
  },
  circuit_open: {
    code: 'vendor_unavailable',
    level: 'debug',
    isOutage: false,
    message: 'login is not sent: the circuit breaker of the vendor domain is open',
  },
};

export function ruleFor(fault: VendorFault): FaultRule {
  return RULES[fault.kind];
}

/** Seconds until a retry makes sense, if the vendor does not say it. */
const RETRY_AFTER = 2;

/** The error for the caller of a failed login. */
export function toBrokerError(fault: VendorFault): BrokerError {
  const { code, detail, message } = ruleFor(fault);
  const { vendorCode, retryAfter } = fault.facts;
  const isTransient = code === 'vendor_unavailable' || code === 'vendor_timeout';
  return new BrokerError(code, {
    cause: fault,
    isUnsent: fault.kind === 'circuit_open',
    // All of these have one code, and the message says what the vendor did.
    ...(code === PASSING.code && fault.kind !== 'circuit_open' && { title: `The ${message.split(':')[0]}` }),
    ...(detail && { detail }),
    // 0 is the vendor's code for success, so it does not explain a failure.
    ...(vendorCode && { vendorCode }),
    ...(isTransient && { retryAfter: retryAfter || RETRY_AFTER }),
    ...(fault.kind === 'too_frequent' && retryAfter && { waitMs: retryAfter * 1_000 }),
  });
}
