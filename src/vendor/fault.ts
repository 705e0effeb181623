import type { ResultKind } from './result-codes.ts';

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

/** An answer that is not what the protocol says. The message names the part at fault and never quotes it. */
export class BrokenAnswer extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'BrokenAnswer';
  }
}
