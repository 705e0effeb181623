import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bearerToken, challengeFor } from '../../../src/http/credentials.ts';
import { ERRORS, type ErrorCode } from '../../../src/token/errors.ts';

describe('bearerToken', () => {
  it('ignores the case of the scheme and the number of spaces after it', () => {
    for (const scheme of ['Bearer ', 'Bearer  ', 'bearer ', 'BEARER ', 'bEaReR   ']) {
      expect(bearerToken(`${scheme}ab.c-1_~+/==`)).toBe('ab.c-1_~+/==');
    }
  });

  it('returns every b64token unchanged', () => {
    const b64token = fc.stringMatching(/^[A-Za-z0-9\-._~+/]+=*$/);
    fc.assert(fc.property(b64token, (token) => bearerToken(`Bearer ${token}`) === token));
  });

  it.each([undefined, '', 'Bearer', 'Basic dXNlcjpwYXNz', 'Bearertoken', 'Token abc'])(
    'finds no session in %j',
    (authorization) => {
      expect(() => bearerToken(authorization)).toThrow(expect.objectContaining({ code: 'session_missing' }));
    },
  );

  it.each(['Bearer a b', 'Bearer a,b', 'Bearer one, Bearer two', 'Bearer =a', 'Bearer "a"', 'Bearer a=b', 'Bearer é'])(
    'refuses the malformed %j and does not echo it',
    (authorization) => {
      expect(() => bearerToken(authorization)).toThrow(
        expect.objectContaining({
          code: 'session_invalid',
          message: expect.not.stringContaining(authorization.slice(7)),
        }),
      );
    },
  );
});

describe('challengeFor', () => {
  it('names no error if the request has no session', () => {
    expect(challengeFor('session_missing', 'here')).toBe('Bearer realm="here"');
  });

  it.each(['session_invalid', 'session_expired'] as const)('names invalid_token for %s', (code) => {
    expect(challengeFor(code, 'here')).toMatch(
      /^Bearer realm="here", error="invalid_token", error_description="[\x20-\x21\x23-\x5b\x5d-\x7e]+"$/,
    );
  });

  it('exists only for 401', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      expect(challengeFor(code, 'here') !== undefined).toBe(ERRORS[code].status === 401);
    }
  });
});
