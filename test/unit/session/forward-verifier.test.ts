import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ForwardVerifier } from '../../../src/session/forward-verifier.ts';
import { userAgentOf } from '../../../src/session/session-server.ts';
import type { BrokerError, ErrorCode } from '../../../src/token/errors.ts';
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
