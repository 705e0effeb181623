import { describe, expect, it, test } from 'vitest';
import { BrokerError, ERRORS, type ErrorCode } from '../../../src/token/errors.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { type AppSettings, startApp, UNIQUE_ID } from './running-app.ts';

describe('a request without a route', () => {
  it.each([
    ['GET', '/nowhere', undefined],
    ['POST', '/sdk-token', 'GET, HEAD, DELETE'],
    ['OPTIONS', '/sdk-token?uniqueId=phone', 'GET, HEAD, DELETE'],
    ['QUERY', '/sdk-token?uniqueId=phone', 'GET, HEAD, DELETE'],
    ['PROPFIND', '/livez', 'GET, HEAD'],
    ['GET', '/metrics', undefined],
    ['GET', '/SDK-token', undefined],
    ['GET', '/*a', undefined],
    ['GET', '/:a(^(a+)+$)', undefined],
    ['GET', '/sdk-token/', undefined],
    ['GET', '/docs/static/nothing.js', undefined],
  ])('is told the methods of the address, or that it is none: %s %s', async (method, path, allow) => {
    const { origin } = await startApp();
    // Nobody reads the body, so it may be anything.
    const sent = method === 'GET' ? {} : { body: 'x'.repeat(2_000), headers: { 'content-type': 'canary' } };
    const response = await fetch(origin + path, { method, ...sent });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
    });
    expect(response.headers.get('allow') ?? undefined).toBe(allow);
    expect(await response.json()).toEqual({
      ...(allow === undefined
        ? { ...problemOf('not_found'), status: 404 }
        : { ...problemOf('method_not_allowed'), status: 405, detail: `This address takes ${allow}, not ${method}` }),
      requestId: response.headers.get('x-request-id'),
    });
  });
});

it('a path that is not percent-encoded is a request_invalid problem', async () => {
  const { origin } = await startApp();
  const response = await fetch(`${origin}/sdk-token%zzcanary`);
  expect(response.status).toBe(400);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const text = await response.text();
  expect(JSON.parse(text)).toMatchObject({
    code: 'request_invalid',
    detail: expect.any(String),
    requestId: response.headers.get('x-request-id'),
  });
  expect(text).not.toContain('canary');
});

function problemOf(code: ErrorCode) {
  const { title, retryable } = ERRORS[code];
  return { type: `urn:sdk-token-broker:problem:${code}`, title, code, retryable };
}

describe('an unexpected error', () => {
  it('is an internal problem without details, and is logged with its request id', async () => {
    const { getToken, log } = await startApp({ tokens: { read: () => Promise.reject(new Error('the disk is full')) } });
    const response = await getToken({ 'x-request-id': 'trace-me' });
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ code: 'internal', retryable: true, requestId: 'trace-me' });
    expect(text).not.toContain('disk');
    expect(log().at(-1)).toMatchObject({
      level: 50,
      code: 'internal',
      route: '/sdk-token',
      requestId: 'trace-me',
      err: { message: 'the disk is full' },
    });
  });
});

describe('the log', () => {
  it('has no line for good requests at info', async () => {
    const { getToken, log } = await startApp();
    const before = log().length;
    await getToken();
    expect(log().slice(before)).toEqual([]);
  });

  it('has one line per request at debug, with the route instead of the URL', async () => {
    const { getToken, origin, log } = await startApp({ logLevel: 'debug' });
    const before = log().length;
    await getToken({ 'x-request-id': 'one' });
    await fetch(`${origin}/nowhere/${UNIQUE_ID}`, { headers: { 'x-request-id': 'two' } });
    const lines = () =>
      log()
        .slice(before)
        .filter(({ level }) => level === 20);
    await expect.poll(() => lines().length).toBe(2);
    expect(lines()).toMatchObject([
      { level: 20, method: 'GET', route: '/sdk-token', status: 200, ms: expect.any(Number), requestId: 'one' },
      { level: 20, method: 'GET', status: 404, requestId: 'two' },
    ]);
  });
});

describe('a plain read that fails', () => {
  const refusal = () => new BrokerError('session_invalid');
  const rejects = () => Promise.reject(refusal());
  const throws = () => {
    throw refusal();
  };

  it.each<[when: string, settings: AppSettings, headers: Record<string, string>]>([
    ['without a session', {}, { authorization: '' }],
    ['in the check of the session', { sessions: { verify: rejects } }, {}],
    ['in the check of the session, at once', { sessions: { verify: throws } }, {}],
    ['in the read of the token', { tokens: { read: rejects } }, {}],
    ['in the read of the token, at once', { tokens: { read: throws } }, {}],
  ])('is handled once by Fastify: %s', async (_when, settings, headers) => {
    let handled = 0;
    const prepare: AppSettings['prepare'] = (app) => {
      app.addHook('onError', async () => {
        handled += 1;
      });
    };
    const { getToken } = await startApp({ ...settings, prepare });
    expect((await getToken(headers)).status).toBe(401);
    expect(handled).toBe(1);
  });
});

describe('the server', () => {
  it('limits the time for a request to arrive, and keeps idle connections longer than load balancers do', async () => {
    const { app } = await startApp();
    expect(app.server).toMatchObject({
      headersTimeout: 10_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 72_000,
    });
  });
});

test.each(['info', 'debug'])(
  'a read whose session cannot be checked is a failed read, at log level %s',
  async (logLevel) => {
    const { observer, told } = recordingObserver();
    const unavailable = new BrokerError('session_check_unavailable');
    let error = unavailable;
    const sessions = { verify: async () => Promise.reject(error) };
    const { origin, getToken } = await startApp({ observer, sessions, logLevel });
    expect((await getToken()).status).toBe(503);
    const headers = { authorization: 'Bearer x' };
    expect((await fetch(`${origin}/sdk-token?uniqueId=phone`, { method: 'DELETE', headers })).status).toBe(503);
    error = new BrokerError('session_expired');
    expect((await getToken()).status).toBe(401);
    expect(told('readFailed')).toEqual([[unavailable]]);
  },
);
