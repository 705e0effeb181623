import type { ResultKind } from './result-codes.ts';

export type FaultKind =
  | Exclude<ResultKind, 'success'>
  | 'timeout'
  | 'unreachable'
  | 'outage'
  | 'too_large'
  | 'broken_answer';

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
