import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../../src/token/errors.ts';
import {
  type FaultFacts,
  type FaultKind,
  ruleFor,
  toBrokerError,
  VendorFault,
} from '../../../src/vendor-api/faults.ts';
import { FAULT_KINDS, FAULTS } from './every-fault.ts';

const TRANSIENT = ['vendor_unavailable', 'vendor_timeout'];

function errorFor(kind: FaultKind, facts: FaultFacts = {}) {
  return toBrokerError(new VendorFault(kind, facts));
}

describe('a fault', () => {
  it.each(FAULT_KINDS)('%s has its error for the app, its log level and its retry', (kind) => {
    const [code, level, retry, isOutage] = FAULTS[kind];
    const fault = new VendorFault(kind);
    expect(ruleFor(fault)).toMatchObject({ level, isOutage });
    expect(ruleFor(fault).retry).toBe(retry);
    const error = toBrokerError(fault);
    expect(error).toMatchObject({ code, cause: fault, vendorCode: undefined });
    // Only a fault that may pass says when to try again.
    expect(error.retryAfter).toBe(TRANSIENT.includes(code) ? 2 : undefined);
  });

  it('has a log message of its own, which says what to check if an operator must act', () => {
    const rules = FAULT_KINDS.map((kind) => ruleFor(new VendorFault(kind)));
    expect(new Set(rules.map(({ message }) => message)).size).toBe(FAULT_KINDS.length);
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

  it.each(FAULT_KINDS)('says whether the login was sent: %s', (kind) => {
    expect(errorFor(kind).isUnsent).toBe(kind === 'circuit_open');
  });

  it('names what the vendor did in its title, with the code vendor_unavailable', () => {
    expect(errorFor('unreachable').title).toBe('The vendor cannot be reached');
    expect(errorFor('unknown').title).toBe('The vendor answered with an unknown result code');
    expect(errorFor('broken_answer').title).toBe("The vendor's answer does not follow its protocol");
    expect(errorFor('circuit_open').title).toBe(ERRORS.vendor_unavailable.title);
    expect(errorFor('request').title).toBe(ERRORS.vendor_rejected.title);
  });

  it('says which fields the vendor may have refused', () => {
    expect(errorFor('request').detail).toContain('the account, the uniqueId or the region');
    expect(errorFor('configuration').detail).toBeUndefined();
  });
});
