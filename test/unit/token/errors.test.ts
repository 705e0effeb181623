import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  BrokerError,
  ERRORS,
  type ErrorCode,
  isErrorCode,
  LoginNotSent,
  tokensEndedBy,
} from '../../../src/token/errors.ts';

describe('a broker error', () => {
  test('ends the tokens of a closed account, and the token of a logout or an erasure', () => {
    const codes = Object.keys(ERRORS) as ErrorCode[];
    const ended = codes.flatMap((code) => (tokensEndedBy(code) ? [[code, tokensEndedBy(code)]] : []));
    expect(Object.fromEntries(ended)).toEqual({
      session_invalid: 'memory',
      session_forbidden: 'memory',
      account_disabled: 'account',
    });
  });

  test.each([
    ['vendor_busy', true],
    ['', false],
    ['toString', false],
  ])('has one of the published codes: %j → %s', (text, expected) => {
    expect(isErrorCode(text)).toBe(expected);
  });

  test('of a login that was not sent when its turn came asks for another try in a second', () => {
    expect(new LoginNotSent()).toMatchObject({
      name: 'LoginNotSent',
      code: 'vendor_busy',
      retryAfter: 1,
      isUnsent: true,
    });
  });

  test('has its detail as its message, or else its title', () => {
    expect(new BrokerError('not_found', { detail: 'no such terminal' }).message).toBe('no such terminal');
    expect(new BrokerError('not_found').message).toBe(ERRORS.not_found.title);
  });

  test('has the given properties', () => {
    const error = new BrokerError('vendor_rejected', { detail: 'no', retryAfter: 3, vendorCode: 10007 });
    expect({ ...error }).toEqual({
      name: 'BrokerError',
      code: 'vendor_rejected',
      title: 'The vendor refused the login',
      detail: 'no',
      retryAfter: 3,
      vendorCode: 10007,
    });
  });

  test('shows its cause only in the log, not in enumeration or serialization', () => {
    const cause = new Error('cause-canary');
    const error = new BrokerError('internal', { cause });
    expect(error.cause).toBe(cause);
    expect(JSON.stringify(error) + Object.keys(error)).not.toMatch(/canary|cause/);
    expect(inspect(error)).toContain('cause-canary');
  });
});
