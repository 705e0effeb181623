import { describe, expect, it } from 'vitest';
import {
  type FaultFacts,
  type FaultKind,
  ruleFor,
  toBrokerError,
  VendorFault,
} from '../../../src/vendor-api/faults.ts';

/** The kind of a fault, the error code for the app, the log level, the retry, and whether the vendor's service failed. */
const FAULTS = [
  ['clock_skew', 'vendor_rejected', 'error', undefined, false],
  ['configuration', 'vendor_rejected', 'error', undefined, false],
  ['request', 'vendor_rejected', 'warn', undefined, false],
  ['account_closed', 'account_disabled', 'warn', undefined, false],
  ['too_frequent', 'vendor_unavailable', 'warn', 'answered', false],
  ['maintenance', 'vendor_unavailable', 'warn', 'answered', true],
  ['unknown', 'vendor_unavailable', 'warn', 'answered', false],
  ['outage', 'vendor_unavailable', 'warn', 'answered', true],
  ['unreachable', 'vendor_unavailable', 'warn', 'answer_lost', true],
  ['timeout', 'vendor_timeout', 'warn', 'answer_lost', true],
  ['too_large', 'vendor_unavailable', 'error', 'answer_lost', true],
  ['broken_answer', 'vendor_unavailable', 'error', 'answer_lost', true],
  ['circuit_open', 'vendor_unavailable', 'debug', undefined, false],
] as const;
const TRANSIENT = ['vendor_unavailable', 'vendor_timeout'];

function errorFor(kind: FaultKind, facts: FaultFacts = {}) {
  return toBrokerError(new VendorFault(kind, facts));
}

describe('a fault', () => {
  it.each(FAULTS)('%s is %s for the app, and has the log level %s', (kind, code, level, retry, isOutage) => {
    const fault = new VendorFault(kind);
    expect(ruleFor(fault)).toMatchObject({ level, isOutage });
    expect(ruleFor(fault).retry).toBe(retry);
    const error = toBrokerError(fault);
    expect(error).toMatchObject({ code, cause: fault, vendorCode: undefined });
    // Only a fault that may pass says when to try again.
    expect(error.retryAfter).toBe(TRANSIENT.includes(code) ? 2 : undefined);
  });

  it('has a log message of its own, which says what to check if an operator must act', () => {
    const rules = FAULTS.map(([kind]) => ruleFor(new VendorFault(kind)));
    expect(new Set(rules.map(({ message }) => message)).size).toBe(FAULTS.length);
    for (const { level, message } of rules) expect(message).toMatch(level === 'error' ? /: check ./ : /./);
  });

  it('is an error with its kind, and the problem if there is one', () => {
    expect(new VendorFault('timeout')).toMatchObject({ name: 'VendorFault', message: 'timeout', facts: {} });
    expect(new VendorFault('unreachable', { problem: 'ECONNRESET' }).message).toBe('unreachable: ECONNRESET');
  });
});

describe('the error for the app', () => {
  it('has the delay that the vendor asks for, but only if the fault may pass', () => {
    expect(errorFor('maintenance', { retryAfter: 30 }).retryAfter).toBe(30);
    expect(errorFor('timeout', { retryAfter: 0 }).retryAfter).toBe(2);
    expect(errorFor('configuration', { retryAfter: 30 }).retryAfter).toBeUndefined();
    expect(errorFor('account_closed', { retryAfter: 30 }).retryAfter).toBeUndefined();
  });

  it('says how long the vendor wants no login of the account, if logins are too frequent', () => {
    expect(errorFor('too_frequent', { retryAfter: 30 }).waitMs).toBe(30_000);
    expect(errorFor('too_frequent').waitMs).toBeUndefined();
    expect(errorFor('maintenance', { retryAfter: 30 }).waitMs).toBeUndefined();
  });

  it('has the result code of the vendor, unless that is the code of success', () => {
    expect(errorFor('request', { vendorCode: 10003 }).vendorCode).toBe(10003);
    expect(errorFor('broken_answer', { vendorCode: 0 }).vendorCode).toBeUndefined();
  });

  it.each(FAULTS)('says whether the login was sent: %s', (kind) => {
    expect(errorFor(kind).isUnsent).toBe(kind === 'circuit_open');
  });

  it('says which fields the vendor may have refused', () => {
    expect(errorFor('request').detail).toContain('the account, the uniqueId or the region');
    expect(errorFor('configuration').detail).toBeUndefined();
  });
});
