import type { FaultKind } from '../../../src/vendor-api/faults.ts';

/** The error code for the app, the log level, the retry, and whether the vendor's service failed. */
export const FAULTS = {
  clock_skew: ['vendor_rejected', 'error', undefined, false],
  configuration: ['vendor_rejected', 'error', undefined, false],
  request: ['vendor_rejected', 'warn', undefined, false],
  account_closed: ['account_disabled', 'warn', undefined, false],
  too_frequent: ['vendor_unavailable', 'warn', 'answered', false],
  maintenance: ['vendor_unavailable', 'warn', 'answered', true],
  unknown: ['vendor_unavailable', 'warn', 'answered', false],
  outage: ['vendor_unavailable', 'warn', 'answered', true],
  unreachable: ['vendor_unavailable', 'warn', 'answer_lost', true],
  timeout: ['vendor_timeout', 'warn', 'answer_lost', true],
  too_large: ['vendor_unavailable', 'error', 'answer_lost', true],
  broken_answer: ['vendor_unavailable', 'error', 'answer_lost', true],
  circuit_open: ['vendor_unavailable', 'debug', undefined, false],
} as const satisfies Record<FaultKind, readonly [string, string, string | undefined, boolean]>;

export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];
