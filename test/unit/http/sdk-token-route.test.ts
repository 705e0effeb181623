import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/token/errors.ts';
import type { Subject } from '../../../src/token/subject.ts';
import { type AppSettings, SESSION, servedToken, startApp, UNION_ID, UNIQUE_ID } from './running-app.ts';

const authorization = `Bearer ${SESSION}`;

/** Tokens that note what they are asked for. */
function notingTokens() {
  const reads: { subject: Subject; region: string | undefined }[] = [];
  const tokens: NonNullable<AppSettings['tokens']> = {
    read: async (subject, region) => {
      reads.push({ subject, region });
      return servedToken();
    },
  };
  return { reads, tokens };
}

function sessionsOf(region: string | undefined): NonNullable<AppSettings['sessions']> {
  return { verify: async () => ({ unionId: UNION_ID, region, expiresAt: Number.MAX_SAFE_INTEGER }) };
}

describe('GET /sdk-token', () => {
  it('answers the prepared body byte for byte, never to be stored, with its ETag', async () => {
    const { getToken } = await startApp();
    const response = await getToken();
    const { body, etag } = servedToken();
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(body);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(body.length),
      'cache-control': 'no-store',
      etag,
    });
  });

  it('answers 304 without a body where the app has the current token', async () => {
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

  it('answers in full where the app has an older one', async () => {
    const { getToken } = await startApp();
    expect((await getToken({ 'if-none-match': '"older"' })).status).toBe(200);
  });

  it('takes the account from the session alone, the terminal from the query', async () => {
    const { reads, tokens } = notingTokens();
    const { getToken } = await startApp({ tokens });
    await getToken();
    expect(reads).toEqual([{ subject: { app: 'default', unionId: UNION_ID, uniqueId: UNIQUE_ID }, region: undefined }]);
  });

  it("passes on the session's country before the one the app names", async () => {
    for (const [region, expected] of [
      ['DE', 'DE'],
      [undefined, 'US'],
    ]) {
      const { reads, tokens } = notingTokens();
      const { origin } = await startApp({ tokens, sessions: sessionsOf(region) });
      await fetch(`${origin}/sdk-token?uniqueId=a&regRegion=US`, { headers: { authorization } });
      expect(reads[0]?.region).toBe(expected);
    }
  });

  it('hands the verifier the session as it was sent', async () => {
    const seen: string[] = [];
    const sessions: AppSettings['sessions'] = {
      verify: async (session) => {
        seen.push(session);
        return { unionId: UNION_ID, region: undefined, expiresAt: Number.MAX_SAFE_INTEGER };
      },
    };
    const { getToken } = await startApp({ sessions });
    await getToken({ authorization: 'bearer abc.DEF-_~+/==' });
    expect(seen).toEqual(['abc.DEF-_~+/==']);
  });

  describe('the app', () => {
    const statusOf = async (apps: string[], query: string) => {
      const { reads, tokens } = notingTokens();
      const { origin } = await startApp({ tokens, apps });
      const response = await fetch(`${origin}/sdk-token?uniqueId=a${query}`, { headers: { authorization } });
      return { status: response.status, app: reads[0]?.subject.app, problem: await response.json() };
    };

    it('may be left out or named where there is one', async () => {
      expect(await statusOf(['default'], '')).toMatchObject({ status: 200, app: 'default' });
      expect(await statusOf(['default'], '&app=default')).toMatchObject({ status: 200, app: 'default' });
    });

    it('must be named where there are several', async () => {
      expect(await statusOf(['ios', 'android'], '&app=android')).toMatchObject({ status: 200, app: 'android' });
      expect(await statusOf(['ios', 'android'], '')).toMatchObject({
        status: 400,
        problem: { code: 'request_invalid', detail: 'app must be one of: ios, android' },
      });
    });

    it('must be a configured one', async () => {
      expect(await statusOf(['default'], '&app=other')).toMatchObject({
        status: 400,
        app: undefined,
        problem: { code: 'request_invalid', detail: 'app must be one of: default' },
      });
    });
  });

  describe('the session', () => {
    it('is asked for before the query is looked at', async () => {
      const { origin } = await startApp();
      const response = await fetch(`${origin}/sdk-token?nonsense=%zz`);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer realm="sdk-token-broker"');
      expect(await response.json()).toMatchObject({ code: 'session_missing', status: 401, retryable: false });
    });

    it('is verified before the query is looked at', async () => {
      const { origin } = await startApp({
        sessions: { verify: () => Promise.reject(new BrokerError('session_expired')) },
      });
      const response = await fetch(`${origin}/sdk-token`, { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe(
        'Bearer realm="sdk-token-broker", error="invalid_token", error_description="The session has expired"',
      );
      expect(await response.json()).toMatchObject({ code: 'session_expired' });
    });

    it('is refused where Authorization is sent twice', async () => {
      const { raw } = await startApp();
      const answer = await raw(
        `GET /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
      expect(answer).toContain('"code":"session_invalid"');
    });
  });

  it.each(['uniqueId=%zz', 'uniqueId=%ff', 'uniqueId=a&uniqueId=b', 'uniqueId=a&x=1', ''])(
    'refuses the query %j without troubling the broker',
    async (query) => {
      const { reads, tokens } = notingTokens();
      const { origin } = await startApp({ tokens });
      const response = await fetch(`${origin}/sdk-token?${query}`, { headers: { authorization } });
      expect(response.status).toBe(400);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({ code: 'request_invalid', detail: expect.any(String) });
      expect(reads).toEqual([]);
    },
  );

  it("passes on the broker's error with its wait", async () => {
    const { getToken } = await startApp({
      tokens: { read: () => Promise.reject(new BrokerError('vendor_busy', { retryAfter: 17 })) },
    });
    const response = await getToken();
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('17');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.has('etag')).toBe(false);
  });
});
