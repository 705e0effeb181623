import type { IncomingHttpHeaders } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { challengeFor, type ForwardedSession, sessionSource } from '../../../src/http/credentials.ts';
import { ERRORS, type ErrorCode } from '../../../src/token/errors.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { principal, SESSION, startApp } from './running-app.ts';

/** Finds the session in request headers. */
function sessionIn(headers: IncomingHttpHeaders, forwarded?: ForwardedSession): string {
  return sessionSource(forwarded)(headers);
}

describe('a bearer session', () => {
  it('ignores the case of the scheme and the number of spaces after it', () => {
    for (const scheme of ['Bearer ', 'Bearer  ', 'bearer ', 'BEARER ', 'bEaReR   ']) {
      expect(sessionIn({ authorization: `${scheme}ab.c-1_~+/==`, cookie: 'sid=1' })).toBe('ab.c-1_~+/==');
    }
  });

  it('returns every b64token unchanged', () => {
    const b64token = fc.stringMatching(/^[A-Za-z0-9\-._~+/]+=*$/);
    fc.assert(fc.property(b64token, (token) => sessionIn({ authorization: `Bearer ${token}` }) === token));
  });

  it.each([undefined, '', 'Bearer', 'Basic dXNlcjpwYXNz', 'Bearertoken', 'Token abc'])(
    'finds no session in %j',
    (authorization) => {
      expect(() => sessionIn({ authorization })).toThrow(expect.objectContaining({ code: 'session_missing' }));
    },
  );

  it.each(['Bearer a b', 'Bearer a,b', 'Bearer one, Bearer two', 'Bearer =a', 'Bearer "a"', 'Bearer a=b', 'Bearer é'])(
    'refuses the malformed %j and does not echo it',
    (authorization) => {
      expect(() => sessionIn({ authorization })).toThrow(
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

describe('a forwarded session', () => {
  const source = (headers: IncomingHttpHeaders) =>
    sessionIn(headers, { headers: ['cookie', 'authorization', 'x-device'], cookies: 'all' });

  it('is a JSON object of the configured headers of the request, by lower-case name, in the configured order', () => {
    expect(source({ authorization: 'Basic dTpw', 'x-other': 'no', cookie: 'sid=1; a="b"' })).toBe(
      '{"cookie":"sid=1; a=\\"b\\"","authorization":"Basic dTpw"}',
    );
    expect(source({ 'x-device': 'phone' })).toBe('{"x-device":"phone"}');
  });

  it.each([{}, { 'x-other': 'canary' }, { cookie: '' }])(
    'is missing if all of them are missing or empty: %j',
    (headers) => {
      expect(() => source(headers)).toThrow(
        expect.objectContaining({
          code: 'session_missing',
          message: 'Send the session in one of these headers: cookie, authorization, x-device',
        }),
      );
    },
  );

  it('reaches the verifier as the app sent it, with separate Cookie headers joined', async () => {
    const seen: string[] = [];
    const { raw } = await startApp({
      forwardedSession: { headers: ['authorization', 'cookie'], cookies: 'all' },
      sessions: {
        verify: async (session) => {
          seen.push(session);
          return principal();
        },
      },
    });
    const answer = await raw(
      'GET /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nCOOKIE: sid=1\r\nX-Other: 2\r\nCookie: lang=de\r\nConnection: close\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen).toEqual(['{"cookie":"sid=1; lang=de"}']);
  });

  it('gets the usual challenge if it is missing', async () => {
    const { origin } = await startApp({ forwardedSession: { headers: ['cookie'], cookies: 'all' } });
    const { status, headers, body } = await plainRequest(`${origin}/sdk-token?uniqueId=a`, {
      headers: { authorization: `Bearer ${SESSION}` },
    });
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Bearer realm="sdk-token-broker"');
    expect(JSON.parse(body)).toMatchObject({
      code: 'session_missing',
      detail: 'Send the session in one of these headers: cookie',
    });
  });
});

describe('a forwarded session with named cookies', () => {
  const NAMED = { headers: ['cookie'], cookies: ['sid', 'device'] };

  it.each([
    'sid=1; device=2',
    'device=2;sid=1',
    'a=b; sid=1; xsid=4; Sid=5; device=2; sid=3; sid',
    ' sid=1 ;; device=2 ; =; z',
  ])('has the first cookie of each name, in the configured order: %j', (cookie) => {
    expect(sessionIn({ cookie }, NAMED)).toBe('{"cookie":"sid=1; device=2"}');
  });

  it('may lack some of them', () => {
    expect(sessionIn({ cookie: 'junk=1; device=a=b' }, NAMED)).toBe('{"cookie":"device=a=b"}');
  });

  it.each(['junk=1', 'SID=1; xdevice=2', 'sid', ''])('is missing if there is none of them: %j', (cookie) => {
    expect(() => sessionIn({ cookie }, NAMED)).toThrow(
      expect.objectContaining({
        code: 'session_missing',
        message: 'Send the session in one of these headers: cookie (cookies: sid, device)',
      }),
    );
  });
});

describe('a session in a cookie', () => {
  const source = sessionSource({ headers: ['authorization', 'cookie'], cookies: ['sid'] });
  const host = 'api.example:8443';
  const own = 'https://api.example:8443';

  it.each([
    {},
    { origin: own },
    { origin: 'https://api.example', host: 'api.example:443' },
    { origin: 'https://api.example', host: 'api.example' },
    { 'sec-fetch-site': 'same-origin', origin: own },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
  ])('is accepted from the own host and from an app: %j', (headers) => {
    const session = '{"cookie":"sid=1"}';
    expect(source({ host, cookie: 'sid=1', ...headers })).toBe(session);
  });

  it.each([
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'cross-site', origin: own },
    { origin: 'https://evil.example' },
    { origin: 'https://api.example' },
    { origin: 'https://api.example:8443.evil.example' },
    { origin: 'https://evil.example/api.example:8443' },
    { origin: 'null' },
    { origin: '' },
    { origin: 'file://' },
    { origin: `${own}, https://evil.example` },
    { origin: own, host: undefined },
  ])('is refused from another web site: %j', (headers) => {
    const request = { host, cookie: 'sid=1', authorization: 'Bearer abc', ...headers };
    expect(() => source(request)).toThrow(expect.objectContaining({ code: 'session_forbidden' }));
  });

  it('matters only if the request has one: no web site can send the header Authorization', () => {
    const headers = { host, authorization: 'Bearer abc', cookie: 'junk=1', origin: 'https://evil.example' };
    expect(source(headers)).toBe('{"authorization":"Bearer abc"}');
    expect(sessionSource(undefined)(headers)).toBe('abc');
  });
});
