import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../../src/token/errors.ts';
import type { Principal } from '../../../../src/token/principal.ts';
import { type Subject, subjectId } from '../../../../src/token/subject.ts';
import { plainRequest } from '../../../support/plain-request.ts';
import {
  type AppSettings,
  principal,
  recordingTokens,
  SESSION,
  servedToken,
  startApp,
  UNION_ID,
  UNIQUE_ID,
} from '../running-app.ts';

const authorization = `Bearer ${SESSION}`;

function sessionsOf(claims: Partial<Principal>): NonNullable<AppSettings['sessions']> {
  return { verify: async () => principal(claims) };
}

describe('GET /sdk-token', () => {
  it('sends the prepared body byte for byte, with no-store and its ETag', async () => {
    const { getToken } = await startApp();
    const response = await getToken();
    const { body, etag } = servedToken();
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(Buffer.from(body));
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'cache-control': 'no-store',
      etag,
    });
  });

  it('answers 304 without a body if the app has the current token', async () => {
    const { raw } = await startApp();
    const { etag } = servedToken();
    const answer = await raw(
      `GET /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nIf-None-Match: "x", W/${etag}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 304 Not Modified\r\n/);
    expect(answer.toLowerCase()).toContain(`\r\netag: ${etag.toLowerCase()}\r\n`);
    expect(answer.toLowerCase()).toContain('\r\ncache-control: no-store\r\n');
    expect(answer.toLowerCase()).not.toContain('\r\ncontent-type:');
    expect(answer.slice(answer.indexOf('\r\n\r\n'))).toBe('\r\n\r\n');
  });

  it('has the ETag of the current token as its only condition, and only `refused` reports a refused token', async () => {
    const { reads, tokens } = recordingTokens();
    const { origin } = await startApp({ tokens });
    const { etag, body } = servedToken();
    const noCache = { 'cache-control': 'no-cache', pragma: 'no-cache' };
    for (const [ifNoneMatch, status, refused] of [
      ['"older"', 200, undefined],
      [etag, 304, undefined],
      ['*', 304, undefined],
      [undefined, 200, 'older'],
      ['"older"', 200, 'older'],
      // Another phone has reported it already, and this one has the token since.
      [etag, 304, 'older'],
    ] as const) {
      const headers = { authorization, ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }) };
      const url = `${origin}/sdk-token?uniqueId=a${refused === undefined ? '' : `&refused=${refused}`}`;
      for (const method of ['GET', 'HEAD']) {
        for (const caching of [{}, noCache]) {
          const answer = await plainRequest(url, { method, headers: { ...headers, ...caching } });
          const hasBody = status === 200 && method === 'GET';
          expect(answer).toMatchObject({ status, headers: { etag }, body: hasBody ? body : '' });
          expect(reads.pop()?.refused).toBe(refused && `"${refused}"`);
        }
      }
    }
  });

  it('takes the account and the time of issue only from the session, and the terminal from the query', async () => {
    const { reads, tokens } = recordingTokens();
    const issuedAt = 1_700_000_000_000;
    const { getToken } = await startApp({ tokens, sessions: sessionsOf({ issuedAt }) });
    await getToken();
    const subject = { app: 'default', unionId: UNION_ID, uniqueId: UNIQUE_ID };
    const requestId = expect.any(String);
    expect(reads).toEqual([
      { subject, id: subjectId(subject), region: undefined, sessionIssuedAt: issuedAt, requestId },
    ]);
  });

  it("prefers the session's country over the regRegion of the query", async () => {
    for (const [region, expected] of [
      ['DE', 'DE'],
      [undefined, 'US'],
    ]) {
      const { reads, tokens } = recordingTokens();
      const { origin } = await startApp({ tokens, sessions: sessionsOf({ region }) });
      await fetch(`${origin}/sdk-token?uniqueId=a&regRegion=US`, { headers: { authorization } });
      expect(reads[0]?.region).toBe(expected);
    }
  });

  describe('the session', () => {
    it.each([
      [{}, 'session_missing', ''],
      [{ authorization }, 'session_expired', ', error="invalid_token", error_description="The session has expired"'],
    ])('is verified before the query is validated: %j', async (headers, code, more) => {
      const { origin } = await startApp({
        sessions: { verify: () => Promise.reject(new BrokerError('session_expired')) },
      });
      const answer = await plainRequest(`${origin}/sdk-token?nonsense=%zz`, { headers });
      expect(answer.headers['www-authenticate']).toBe(`Bearer realm="sdk-token-broker"${more}`);
      expect(JSON.parse(answer.body)).toMatchObject({ code, status: 401, retryable: false });
    });

    it('is refused if Authorization is sent twice', async () => {
      const { raw } = await startApp();
      const answer = await raw(
        `GET /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
      expect(answer).toContain('"code":"session_invalid"');
    });
  });
});

describe('a session that asks again, for another app or terminal', () => {
  const caller = principal();
  const start = async () => {
    const { reads, tokens } = recordingTokens();
    const { origin, log } = await startApp({ tokens, apps: ['ios', 'android'], sessions: { verify: () => caller } });
    const ask = (query: string) => plainRequest(`${origin}/sdk-token?${query}`, { headers: { authorization } });
    return { reads, log, ask };
  };

  it('gets the token of each, and of the first one again afterwards', async () => {
    const { ask, reads } = await start();
    const asked = ['ios phone', 'android phone', 'ios tablet', 'ios phone'].map((one) => one.split(' '));
    for (const [app, id] of asked) expect((await ask(`uniqueId=${id}&app=${app}`)).status).toBe(200);
    const subjects = asked.map(([app = '', uniqueId = '']) => ({ app, unionId: UNION_ID, uniqueId }));
    expect(reads).toMatchObject(subjects.map((subject) => ({ subject, id: subjectId(subject) })));
  });

  it('is not named in the log as the former app, if its request is refused before the app is known', async () => {
    const { ask, log } = await start();
    await ask('uniqueId=phone&app=ios');
    expect((await ask('uniqueId=phone&app=other')).status).toBe(400);
    const [refused] = log().filter(({ msg }) => msg === 'request refused');
    expect(refused).toMatchObject({ code: 'request_invalid' });
    expect(refused).not.toHaveProperty('subject');
  });
});

describe('the single terminal policy', () => {
  it.each([
    'uniqueId=',
    'uniqueId=%20',
    'uniqueId=%C3%A9',
    'uniqueId=%ff',
    'uniqueId=%zz',
    'uniqueId=a&uniqueId=b',
    `uniqueId=${'a'.repeat(500)}`,
  ])('ignores also a uniqueId that no terminal can have: %s', async (query) => {
    const { reads, tokens } = recordingTokens();
    const { loggedOut, accounts } = recordingAccounts();
    const { origin } = await startApp({ tokens, accounts, terminalPolicy: 'single' });
    const url = `${origin}/sdk-token?${query}`;
    expect((await plainRequest(url, { headers: { authorization } })).status).toBe(200);
    expect((await logOut(url)).status).toBe(204);
    const subject = { app: 'default', unionId: UNION_ID, uniqueId: UNION_ID };
    expect([...reads.map((read) => read.subject), ...loggedOut]).toEqual([subject, subject]);
  });

  it.each([
    ['app=%20', 'app must be 1 to 64 of the characters A-Z a-z 0-9 . _ -'],
    ['app=default&app=default', 'app may be given once'],
    ['uniqueID=a', /^Unknown query parameter; allowed are uniqueId, app/],
  ])('refuses %s as the other policy does', async (query, detail) => {
    const { origin } = await startApp({ terminalPolicy: 'single' });
    const url = `${origin}/sdk-token?uniqueId=a&${query}`;
    for (const answer of [await plainRequest(url, { headers: { authorization } }), await logOut(url)]) {
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body).detail).toMatch(detail);
    }
  });
});

describe('DELETE /sdk-token', () => {
  it("logs out the requested terminal of the session's account, and answers without a body", async () => {
    const { loggedOut, issuedAt, accounts } = recordingAccounts();
    const sessions = sessionsOf({ issuedAt: 1_700_000_000_000 });
    const { origin } = await startApp({ accounts, apps: ['ios', 'android'], sessions });
    const answer = await logOut(`${origin}/sdk-token?uniqueId=${UNIQUE_ID}&app=ios`);
    expect(answer).toMatchObject({ status: 204, body: '' });
    expect(loggedOut).toEqual([{ app: 'ios', unionId: UNION_ID, uniqueId: UNIQUE_ID }]);
    expect(issuedAt).toEqual([1_700_000_000_000]);
  });

  it.each([
    ['an empty Content-Type', 'Content-Type:\r\n'],
    ['one that is no media type', 'Content-Type: foo\r\n'],
    ['two of them', 'Content-Type: application/json\r\nContent-Type: application/json\r\n'],
    ['none', ''],
  ])('accepts %s, with a body and without', async (_what, contentType) => {
    const { raw } = await startApp();
    for (const body of ['', '{canary']) {
      const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`;
      const answer = await raw(
        `DELETE /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n${contentType}${length}Connection: close\r\n\r\n${body}`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 204 /);
    }
  });

  it('needs a session that is not bound to another app, and has no country', async () => {
    const { loggedOut, accounts } = recordingAccounts();
    const { origin } = await startApp({ accounts, apps: ['ios', 'android'], sessions: sessionsOf({ app: 'ios' }) });
    expect((await plainRequest(`${origin}/sdk-token?uniqueId=a`, { method: 'DELETE' })).status).toBe(401);
    expect((await logOut(`${origin}/sdk-token?uniqueId=a&app=android`)).status).toBe(403);
    expect((await logOut(`${origin}/sdk-token?uniqueId=a&regRegion=DE`)).status).toBe(400);
    expect(loggedOut).toEqual([]);
  });

  it('fails if the store cannot delete the token', async () => {
    const { origin } = await startApp({
      accounts: { logOut: () => Promise.reject(new BrokerError('store_unavailable')) },
    });
    expect((await logOut(`${origin}/sdk-token?uniqueId=a`)).status).toBe(503);
  });
});

function recordingAccounts() {
  const loggedOut: Subject[] = [];
  /** Of the sessions; `undefined` for an operator. */
  const issuedAt: (number | undefined)[] = [];
  const accounts: NonNullable<AppSettings['accounts']> = {
    logOut: async (subject, by) => {
      loggedOut.push(subject);
      issuedAt.push(by === 'operator' ? undefined : by.sessionIssuedAt);
    },
  };
  return { loggedOut, issuedAt, accounts };
}

function logOut(url: string, headers: Record<string, string> = {}, body = '') {
  return plainRequest(url, { method: 'DELETE', headers: { authorization, ...headers }, body });
}
