import { beforeEach, describe, expect, it, test } from 'vitest';
import { createForwardVerifier, type EnvelopeConditions } from '../../../src/session/forward-verifier.ts';
import { userAgentOf } from '../../../src/session/session-server.ts';
import { createSessionVerifier, type SessionOptions } from '../../../src/session/session-verifier.ts';
import { ContactHistory } from '../../../src/token/contact-history.ts';
import { BrokerError, type ErrorCode } from '../../../src/token/errors.ts';
import type { SessionVerifier } from '../../../src/token/principal.ts';
import { SILENCE } from '../../support/broker-parts.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { silentObserver } from '../../support/silent-observer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { startApp } from '../http/running-app.ts';
import { json, type RecordingServer, recordingServer } from './recording-server.ts';
import { itIsUnavailable } from './session-server-faults.ts';
import { ACCOUNT, CLAIM_NAMES, CLAIMS, expectRefused, PRINCIPAL, shownBy } from './sessions.ts';

const SECRET = 'cookie-of-somebody';
const COOKIE = `PHPSESSID=${SECRET}; theme=dark`;
const SESSION = JSON.stringify({ cookie: COOKIE });

let clock: TestClock;
let server: RecordingServer;
let verifier: SessionVerifier;

beforeEach(async () => {
  clock = new TestClock();
  server = await recordingServer(json({ sub: ACCOUNT }));
  const url = new URL('/me?full=1', server.origin);
  verifier = createForwardVerifier({ url, claims: CLAIM_NAMES, clock, userAgent: userAgentOf('1.2.3') });
});

async function expectError(session: string, code: ErrorCode): Promise<BrokerError> {
  const error = await expectRefused(verifier, session, code);
  expect(shownBy(error)).not.toContain(SECRET);
  return error;
}

describe('a forwarded session', () => {
  it('reaches the session server with exactly its own headers', async () => {
    await verifier.verify(JSON.stringify({ authorization: 'Bearer é-1', cookie: COOKIE, 'x-device': 'a, b' }));
    await verifier.verify(JSON.stringify({ cookie: COOKIE, 'user-agent': 'camera-app/7' }));
    const [request, second] = server.received;
    expect(server.received).toHaveLength(2);
    expect(second?.headers).toMatchObject({ 'user-agent': 'camera-app/7' });
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

  it.each([200, 201, 203])('is accepted with status %d, and has an account and an end', async (status) => {
    // PHP sends text/html by default.
    server.answer = (_request, response) =>
      response.writeHead(status, { 'content-type': 'text/html' }).end(JSON.stringify(CLAIMS));
    expect(await verifier.verify(SESSION)).toEqual(PRINCIPAL);
    clock.moveTo(90_000);
    await expectError(SESSION, 'session_expired');
  });

  it.each([401, 403])('is refused by status %d, whatever the body', async (status) => {
    server.answer = (_request, response) => response.writeHead(status).end(JSON.stringify({ sub: ACCOUNT, SESSION }));
    const error = await expectError(SESSION, 'session_invalid');
    expect(error.detail).toBe(`The session server refused the session with status ${status}`);
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
    const contact = new ContactHistory(clock);
    const options = { url: new URL(server.origin), claims, clock, contact, accepted, refused, ...conditions };
    // The server has failed if its answer decides nothing.
    const expectFailures = (failures: number) => expect(contact).toMatchObject({ failures });
    try {
      const { unionId } = await createForwardVerifier(options).verify(SESSION);
      expectFailures(0);
      return unionId;
    } catch (error) {
      if (error instanceof BrokerError) expectFailures(error.code === UNAVAILABLE ? 1 : 0);
      if (error instanceof BrokerError)
        return [error.code, error.cause instanceof Error ? error.cause.message : error.detail];
      throw error;
    }
  };
  const data = { id: ACCOUNT };
  const NEITHER = 'The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED: it has';
  const refused = (by: string) => ['session_invalid', `The session server refused the session with ${by}`];

  type Row = [status: number, answer: object, expected: unknown];
  const UNAVAILABLE = 'session_check_unavailable';
  const NO_ACCOUNT = 'The claim data.id in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)';

  it.each<Row>([
    ...[200, '200', 0, '0'].map((code): Row => [200, { code, data }, ACCOUNT]),
    // A refusal counts with any status, also if there is an account.
    ...[200, 400, 500].map((status): Row => [status, { code: 401, data }, refused('code=401')]),
    [200, { code: '403', data }, refused('code=403')],
    ...[401, 403].map((status): Row => [status, { code: 200, data }, refused(`status ${status}`)]),
    ...[10_403, '', 'ok', 200.5, true, null].map(
      (code): Row => [200, { code, data }, [UNAVAILABLE, `${NEITHER} code=${code}`]],
    ),
    ...[[200], { code: 200 }].map((code): Row => [200, { code, data }, [UNAVAILABLE, `${NEITHER} code={…}`]]),
    [200, { code: 'x'.repeat(99), data }, [UNAVAILABLE, `${NEITHER} code=${'x'.repeat(32)}…`]],
    [200, { data }, [UNAVAILABLE, `${NEITHER} no code`]],
    [200, { code: 200, data: null }, [UNAVAILABLE, NO_ACCOUNT]],
    [500, { code: 200, data }, [UNAVAILABLE, 'The session server answered 500']],
  ])('is judged by its status and its code: %i, %j', async (status, answer, expected) => {
    expect(await judge(status, answer)).toEqual(expected);
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
    const both = await judge(200, { meta: { ok: false, error: 'banned' }, data }, conditions);
    expect(both).toEqual([UNAVAILABLE, `${NEITHER} meta.ok=false, meta.error=banned`]);
    expect(await judge(200, { meta: { ok: true }, data }, conditions)).toBe(ACCOUNT);
    expect(await judge(200, { meta: { ok: true, error: null }, data }, conditions)).toEqual(refused('meta.error=null'));
    expect(await judge(200, { meta: { error: 'expired' } }, conditions)).toEqual(refused('meta.error=expired'));
  });

  it('needs only one of the two conditions', async () => {
    const [onlyRefused, onlyAccepted] = [{ accepted: undefined }, { refused: undefined }];
    expect(await judge(200, { data }, onlyRefused)).toBe(ACCOUNT);
    expect(await judge(200, { code: 401 }, onlyRefused)).toEqual(refused('code=401'));
    expect(await judge(200, { code: 500 }, onlyRefused)).toEqual([UNAVAILABLE, `${NEITHER} no data.id, code=500`]);
    expect(await judge(200, { code: 200, data }, onlyAccepted)).toBe(ACCOUNT);
    expect(await judge(401, {}, onlyAccepted)).toEqual(refused('status 401'));
    expect(await judge(200, { code: 401, data }, onlyAccepted)).toEqual([UNAVAILABLE, `${NEITHER} code=401`]);
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
  const sessions = createSessionVerifier(options, {
    maxBytes: 2 ** 20,
    clock,
    observer: silentObserver,
    announcements: SILENCE,
  });
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
