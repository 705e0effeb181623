import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { sessionSource } from '../../../src/http/credentials.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { principal, SESSION, startApp } from './running-app.ts';

/** Finds the session in request headers. */
function sessionIn(headers: IncomingHttpHeaders, names?: readonly string[]): string {
  const source = sessionSource(names);
  return source.parse(source.textOf(headers));
}

describe('a bearer session', () => {
  it('is the token in Authorization, whatever other headers there are', () => {
    expect(sessionIn({ authorization: 'bearer abc.DEF-_~+/==', cookie: 'sid=1' })).toBe('abc.DEF-_~+/==');
  });
});

describe('a forwarded session', () => {
  const source = (headers: IncomingHttpHeaders) => sessionIn(headers, ['Cookie', 'authorization', 'x-device']);

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
      sessionHeaders: ['authorization', 'cookie'],
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
    const { origin } = await startApp({ sessionHeaders: ['cookie'] });
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
