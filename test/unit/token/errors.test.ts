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

/** The published status of each code. */
const STATUSES: Record<ErrorCode, number> = {
  request_invalid: 400,
  session_missing: 401,
  session_invalid: 401,
  session_expired: 401,
  session_forbidden: 403,
  account_disabled: 403,
  terminal_limit: 403,
  not_found: 404,
  method_not_allowed: 405,
  rate_limited: 429,
  internal: 500,
  vendor_rejected: 502,
  vendor_unavailable: 503,
  vendor_busy: 503,
  session_check_unavailable: 503,
  store_unavailable: 503,
  shutting_down: 503,
  vendor_timeout: 504,
};

describe('a broker error', () => {
  test('has the published status of its code', () => {
    const statuses = Object.entries(ERRORS).map(([code, { status }]) => [code, status]);
    expect(Object.fromEntries(statuses)).toEqual(STATUSES);
  });

  test('is retryable only if waiting can help', () => {
    for (const { status, retryable } of Object.values(ERRORS)) {
      expect(retryable).toBe([429, 500, 503, 504].includes(status));
    }
  });

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

  test.each([
    ['vendor_busy', undefined, true],
    ['vendor_busy', false, false],
    ['vendor_unavailable', undefined, false],
    ['vendor_unavailable', true, true],
  ] as const)(
    'says that no login was sent if the login queue refused it, or if it is told so: %s, %s',
    (code, isUnsent, expected) => {
      expect(new BrokerError(code, { ...(isUnsent !== undefined && { isUnsent }) }).isUnsent).toBe(expected);
    },
  );

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
