import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { type EnvelopeConditions, ForwardVerifier } from '../../../src/session/forward-verifier.ts';
import { userAgentOf } from '../../../src/session/session-server.ts';
import { createSessionVerifier, type SessionOptions } from '../../../src/session/session-verifier.ts';
import { BrokerError, type ErrorCode } from '../../../src/token/errors.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { startApp } from '../http/running-app.ts';
import { json, RecordingServer } from './recording-server.ts';
import { itIsUnavailable } from './session-server-faults.ts';
import { ACCOUNT, CLAIM_NAMES, expectRefused, START_MS, START_SECONDS, shownBy, TestClock } from './sessions.ts';

const SECRET = 'cookie-of-somebody';
const COOKIE = `PHPSESSID=${SECRET}; theme=dark`;
const SESSION = JSON.stringify({ cookie: COOKIE });

let clock: TestClock;
let server: RecordingServer;
let verifier: ForwardVerifier;

beforeEach(async () => {
  clock = new TestClock();
  server = new RecordingServer(json({ sub: ACCOUNT }));
  await server.start();
  const url = new URL('/me?full=1', server.origin);
  verifier = new ForwardVerifier({ url, claims: CLAIM_NAMES, clock, userAgent: userAgentOf('1.2.3') });
});

afterEach(() => server.stop());

async function expectError(session: string, code: ErrorCode): Promise<BrokerError> {
  const error = await expectRefused(verifier, session, code);
  expect(shownBy(error)).not.toContain(SECRET);
  return error;
}

describe('a forwarded session', () => {
  it('reaches the session server with exactly its own headers', async () => {
    await verifier.verify(JSON.stringify({ authorization: 'Bearer é-1', cookie: COOKIE, 'x-device': 'a, b' }));
    const [request] = server.received;
    expect(server.received).toHaveLength(1);
    expect(request).toMatchObject({ method: 'GET', url: '/me?full=1', body: '' });
    expect(request?.headers).toEqual({
      authorization: 'Bearer é-1',
      cookie: COOKIE,
      'x-device': 'a, b',
      accept: 'application/json',
      'user-agent': 'sdk-token-broker/1.2.3',
      host: new URL(server.origin).host,
      connection: 'keep-alive',
    });
  });

  it('keeps the user agent of the app if that is one of its headers', async () => {
    await verifier.verify(JSON.stringify({ cookie: COOKIE, 'user-agent': 'camera-app/7' }));
    expect(server.received[0]?.headers).toMatchObject({ 'user-agent': 'camera-app/7' });
  });

  it.each([200, 201, 203])('is accepted with status %d, and has an account and an end', async (status) => {
    const claims = { sub: ACCOUNT, region: 'de', iat: START_SECONDS - 5, exp: START_SECONDS + 90 };
    // PHP sends text/html by default.
    server.answer = (_request, response) =>
      response.writeHead(status, { 'content-type': 'text/html' }).end(JSON.stringify(claims));
    expect(await verifier.verify(SESSION)).toEqual({
      unionId: ACCOUNT,
      region: 'DE',
      app: undefined,
      issuedAt: START_MS - 5_000,
      expiresAt: START_MS + 90_000,
    });
  });

  it('has no end of its own without an exp', async () => {
    expect((await verifier.verify(SESSION)).expiresAt).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('is never accepted past its exp', async () => {
    server.answer = json({ sub: ACCOUNT, exp: START_SECONDS + 90 });
    clock.time = START_MS + 90_000;
    await expectError(SESSION, 'session_expired');
  });

  it.each([401, 403])('is refused by status %d, whatever the body', async (status) => {
    server.answer = (_request, response) => response.writeHead(status).end(JSON.stringify({ sub: ACCOUNT, SESSION }));
    const error = await expectError(SESSION, 'session_invalid');
    expect(error.detail).toBe(`The session server refused the session with status ${status}`);
  });

  it.each([
    { sub: ACCOUNT, region: 'Germany' },
    { sub: ACCOUNT, exp: START_MS },
  ])('is refused with the claims %j', async (claims) => {
    server.answer = json(claims);
    await expectError(SESSION, 'session_invalid');
  });

  it.each(['', SECRET, 'null', '"text"', `{"no header":"${SECRET}"}`, `{"cookie":"${SECRET}\\r\\nx: y"}`])(
    'is refused without a request if it is %j',
    async (session) => {
      const error = await expectError(session, 'session_invalid');
      expect(error.detail).toBe('The session cannot be sent in HTTP headers');
      expect(server.received).toEqual([]);
    },
  );
});

describe('a session whose answer is an envelope', () => {
  const judge = async (status: number, answer: unknown, conditions: EnvelopeConditions = {}) => {
    server.answer = (_request, response) => response.writeHead(status).end(JSON.stringify(answer));
    const claims = { ...CLAIM_NAMES, unionId: 'data.id' };
    const accepted = { path: 'code', values: ['200', '0'] };
    const refused = { path: 'code', values: ['401', '403'] };
    const options = { url: new URL(server.origin), claims, clock, accepted, refused, ...conditions };
    try {
      return (await new ForwardVerifier(options).verify(SESSION)).unionId;
    } catch (error) {
      if (error instanceof BrokerError)
        return [error.code, error.cause instanceof Error ? error.cause.message : error.detail];
      throw error;
    }
  };
  const data = { id: ACCOUNT };
  const NEITHER = 'The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED';
  const refused = (by: string) => ['session_invalid', `The session server refused the session with ${by}`];

  it.each([200, '200', 0, '0'])('is accepted with the code %j', async (code) => {
    expect(await judge(200, { code, data })).toBe(ACCOUNT);
  });

  it.each([
    [200, 401],
    [200, '403'],
    [400, 401],
    [500, 401],
  ])('is refused with status %i and the code %j, also if there is an account', async (status, code) => {
    expect(await judge(status, { code, data })).toEqual(refused(`code=${code}`));
  });

  it.each([401, 403])('is refused with status %i, whatever the envelope', async (status) => {
    expect(await judge(status, { code: 200, data })).toEqual(refused(`status ${status}`));
  });

  it.each([500, '', 'ok', 200.5, true, null, [200], { code: 200 }])('has no result with the code %j', async (code) => {
    expect(await judge(200, { code, data })).toEqual(['session_check_unavailable', NEITHER]);
  });

  it('has no result without the code, or without an account, and the log says what is missing', async () => {
    expect(await judge(200, { data })).toEqual(['session_check_unavailable', `${NEITHER}: it has no code`]);
    expect(await judge(200, { code: 200, data: null })).toEqual([
      'session_check_unavailable',
      'The claim data.id in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)',
    ]);
  });

  it('has no result with another status than 2xx, although the code is that of an accepted session', async () => {
    expect(await judge(500, { code: 200, data })).toEqual([
      'session_check_unavailable',
      'The session server answered 500',
    ]);
  });

  it('has no result without the code, although a condition has the text that JavaScript makes of nothing', async () => {
    const undefinedCode = { path: 'code', values: ['undefined'] };
    const [code] = await judge(200, { data }, { accepted: undefinedCode, refused: undefinedCode });
    expect(code).toBe('session_check_unavailable');
  });

  it('may have a condition of two paths, with texts, truth values and null; a refusal goes first', async () => {
    const conditions = {
      accepted: { path: 'meta.ok', values: ['true'] },
      refused: { path: 'meta.error', values: ['null', 'expired'] },
    };
    expect(await judge(200, { meta: { ok: true }, data }, conditions)).toBe(ACCOUNT);
    expect(await judge(200, { meta: { ok: true, error: null }, data }, conditions)).toEqual(refused('meta.error=null'));
    expect(await judge(200, { meta: { error: 'expired' } }, conditions)).toEqual(refused('meta.error=expired'));
  });

  it('needs no condition of acceptance if only refusals are envelopes', async () => {
    expect(await judge(200, { data }, { accepted: undefined })).toBe(ACCOUNT);
    expect(await judge(200, { code: 401 }, { accepted: undefined })).toEqual(refused('code=401'));
    const [code] = await judge(200, { code: 500 }, { accepted: undefined });
    expect(code).toBe('session_check_unavailable');
  });

  it('needs no condition for refusals if the cloud refuses with 401', async () => {
    expect(await judge(200, { code: 200, data }, { refused: undefined })).toBe(ACCOUNT);
    expect(await judge(401, {}, { refused: undefined })).toEqual(refused('status 401'));
    expect(await judge(200, { code: 401, data }, { refused: undefined })).toEqual([
      'session_check_unavailable',
      NEITHER,
    ]);
  });
});

test('the log says what is missing in an answer that has no result', async () => {
  server.answer = json({ code: 500, msg: SECRET });
  const options: SessionOptions = {
    mode: 'forward',
    url: new URL(server.origin),
    claims: CLAIM_NAMES,
    cacheSeconds: 30,
  };
  const sessions = createSessionVerifier(options, { maxBytes: 2 ** 20, clock, observer: silentObserver });
  const { origin, log } = await startApp({ sessions, forwardedSession: { headers: ['cookie'], cookies: 'all' } });
  const { status, body } = await plainRequest(`${origin}/sdk-token?uniqueId=phone`, { headers: { cookie: COOKIE } });
  expect([status, JSON.parse(body).code]).toEqual([503, 'session_check_unavailable']);
  expect(log().filter(({ code }) => code !== undefined)).toEqual([
    expect.objectContaining({
      code: 'session_check_unavailable',
      err: expect.objectContaining({
        message: 'The claim sub in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)',
      }),
    }),
  ]);
  expect(JSON.stringify(log())).not.toContain(SECRET);
});

describe('a session is neither accepted nor refused', () => {
  async function expectUnavailable(): Promise<void> {
    const error = await expectError(SESSION, 'session_check_unavailable');
    expect(error.retryAfter).toBe(2);
  }

  itIsUnavailable(
    () => server,
    expectUnavailable,
    async () => expect((await verifier.verify(SESSION)).unionId).toBe(ACCOUNT),
  );

  it.each([
    [500, '{}', 'The session server answered 500'],
    [200, '[]', 'The session server did not answer with a JSON object'],
    [200, '{}', 'The claim sub in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)'],
    [200, '{"sub":"u-1","exp":"soon"}', 'The claim exp in the answer is not a number'],
  ])('and the cause of the error says why: status %d with %s', async (status, body, message) => {
    server.answer = (_request, response) => response.writeHead(status).end(body);
    const error = await expectError(SESSION, 'session_check_unavailable');
    expect(error.cause).toMatchObject({ message });
  });

  it('and the error shows nothing secret of the answer', async () => {
    for (const body of [`<p>${COOKIE}</p>`, JSON.stringify([COOKIE]), JSON.stringify({ exp: COOKIE })]) {
      for (const status of [200, 500]) {
        server.answer = (_request, response) => response.writeHead(status, { 'x-session': SECRET }).end(body);
        await expectUnavailable();
      }
    }
  });
});
