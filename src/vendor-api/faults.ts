import { BrokerError, type ErrorCode } from '../token/errors.ts';
import type { ResultKind } from './answer.ts';

export type FaultKind =
  | Exclude<ResultKind, 'success'>
  | 'timeout'
  | 'unreachable'
  | 'outage'
  | 'too_large'
  | 'broken_answer'
  /** Nothing was sent: too much has failed lately. */
  | 'circuit_open';

/** What says that the vendor's service is not well, rather than something about this login. */
const OUTAGES: ReadonlySet<FaultKind> = new Set([
  'timeout',
  'unreachable',
  'outage',
  'too_large',
  'broken_answer',
  'unknown',
  'maintenance',
  'too_frequent',
]);

/** What a login may have succeeded in spite of: its answer was lost, or was no answer. */
const LOST: ReadonlySet<FaultKind> = new Set(['timeout', 'unreachable', 'too_large', 'broken_answer']);

export function isOutage(kind: FaultKind): boolean {
  return OUTAGES.has(kind);
}

export function isLost(kind: FaultKind): boolean {
  return LOST.has(kind);
}

/** What is known about a failed login. None of it is secret, none of it is the vendor's text but the request id. */
export interface FaultFacts {
  /** What exactly was wrong, in our own words. */
  readonly problem?: string;
  readonly httpStatus?: number;
  /** The vendor's result code. */
  readonly vendorCode?: number;
  readonly vendorRequestId?: string;
  /** Whole seconds the vendor asks us to wait. */
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

/** Seconds after which a passing fault is worth another try, unless the vendor says. */
const RETRY_AFTER = 2;

interface Verdict {
  readonly code: ErrorCode;
  /** `error` asks for a person. */
  readonly level: 'debug' | 'warn' | 'error';
  /** For the log: what happened and, where somebody must act, what to look at. */
  readonly message: string;
  /** For the caller. */
  readonly detail?: string;
}

const VERDICTS: Readonly<Record<FaultKind, Verdict>> = {
  clock_skew: {
    code: 'vendor_rejected',
    level: 'error',
    message: "vendor refuses our timestamp even by its own clock: check this host's clock and the vendor's Date header",
  },
  configuration: {
    code: 'vendor_rejected',
    level: 'error',
    message: "vendor refuses the app or its signature: check appId, appToken, appKey, accessId and the region's domain",
  },
  request: {
    code: 'vendor_rejected',
    level: 'warn',
    message: 'vendor refuses a field of the login',
    detail: 'The vendor refuses the account, the uniqueId or the region as malformed or out of range',
  },
  account_closed: { code: 'account_disabled', level: 'warn', message: 'vendor has closed the account' },
  too_frequent: { code: 'vendor_unavailable', level: 'warn', message: 'vendor says we log in too often' },
  maintenance: { code: 'vendor_unavailable', level: 'warn', message: 'vendor is under maintenance' },
  unknown: { code: 'vendor_unavailable', level: 'warn', message: 'vendor answered with a code we do not know' },
  outage: { code: 'vendor_unavailable', level: 'warn', message: 'vendor answered with an HTTP error and no result' },
  unreachable: { code: 'vendor_unavailable', level: 'warn', message: 'vendor cannot be reached' },
  timeout: { code: 'vendor_timeout', level: 'warn', message: 'vendor did not answer in time' },
  too_large: { code: 'vendor_unavailable', level: 'error', message: "vendor's answer is larger than any login answer" },
  circuit_open: {
    code: 'vendor_unavailable',
    level: 'debug',
    message: 'vendor is spared an attempt: too much has failed lately',
  },
  broken_answer: {
    code: 'vendor_unavailable',
    level: 'error',
    message: "vendor's answer is not what its protocol says: is the domain right?",
  },
};

export function verdictOn(fault: VendorFault): Verdict {
  return VERDICTS[fault.kind];
}

/** What the caller of a failed login is told. */
export function toBrokerError(fault: VendorFault): BrokerError {
  const { code, detail } = verdictOn(fault);
  const { vendorCode, retryAfter } = fault.facts;
  const passing = code === 'vendor_unavailable' || code === 'vendor_timeout';
  return new BrokerError(code, {
    cause: fault,
    ...(detail !== undefined && { detail }),
    // 0 is the vendor's success: it explains no failure.
    ...(vendorCode && { vendorCode }),
    ...(passing && { retryAfter: retryAfter || RETRY_AFTER }),
  });
}
