import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { agentOpener } from '../../../src/proxies.ts';
import {
  boundedFetch,
  noteContact,
  SessionConnections,
  UnexpectedStatus,
} from '../../../src/session/session-server.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { ContactHistory } from '../../../src/token/contact-history.ts';
import { SESSION_REASONS } from '../../../src/token/session-reasons.ts';
import { eventually } from '../../support/eventually.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import { json, type RecordingServer, recordingServer } from './recording-server.ts';

const TIMEOUT_MS = 3_000;
const LIMIT = 65_536;
const PLAIN = { headers: {} };
const fetched = (maxBytes?: number) => boundedFetch(server.origin, PLAIN, { clock: systemClock }, maxBytes);
const textOf = async (maxBytes?: number) => (await fetched(maxBytes)).text();

let time: ReturnType<typeof virtualClock>;
let server: RecordingServer;

beforeEach(async () => {
  time = virtualClock();
  server = await recordingServer(json({ sub: 'u-1' }));
});

describe('the timeout of the session server', () => {
  const failureOf = (url: string): Promise<unknown> =>
    boundedFetch(url, PLAIN, time).then(
      () => undefined,
      (error: unknown) => error,
    );

  it.each([
    ['before the answer', () => undefined],
    ['in the middle of the body', (response: ServerResponse) => void response.write('{"sub":')],
  ])('ends a request %s, and its connection, when the clock says that 3 s are over', async (_when, begin) => {
    let closed: Promise<unknown> | undefined;
    server.answer = (_request, response) => {
      closed = once(response, 'close');
      begin(response);
    };
    const failure = failureOf(server.origin);
    await eventually(() => closed !== undefined);
    await time.pass(TIMEOUT_MS - 1);
    expect(time.pending()).toBe(1);
    await time.pass(1);
    expect(await failure).toMatchObject({ name: 'TimeoutError', message: 'no answer within 3000 ms' });
    await closed;
    expect(time.pending()).toBe(0);
  });

  it('ends a request whose connection is not ready, because the server does not answer the TLS handshake', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const failure = failureOf(`https://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    const [connection] = await once(silent, 'connection');
    await time.pass(TIMEOUT_MS);
    expect(await failure).toMatchObject({ name: 'TimeoutError' });
    connection.destroy();
    silent.close();
  });

  it('leaves no timer behind, neither after an answer nor after a failure', async () => {
    await boundedFetch(server.origin, PLAIN, time);
    expect(time.pending()).toBe(0);
    await server.stop();
    await expect(boundedFetch(server.origin, PLAIN, time)).rejects.toThrow();
    expect(time.pending()).toBe(0);
  });
});

/** Reaches the server as the proxy for any other one. */
const throughProxy = () => {
  const openAgent = agentOpener({ HTTPS_PROXY: undefined, HTTP_PROXY: new URL(server.origin), NO_PROXY: [] });
  const connections = new SessionConnections(openAgent);
  return () => boundedFetch('http://cloud.example/me', PLAIN, { clock: systemClock, connections });
};
const directly = () => () => fetched();

describe.each([
  ['the server closes', 'UND_ERR_SOCKET', (socket: Socket) => socket.end(), directly],
  // As if the server had not read the request.
  ['the server resets', 'ECONNRESET', (socket: Socket) => socket.resetAndDestroy(), directly],
  ['the proxy closes', 'UND_ERR_SOCKET', (socket: Socket) => socket.end(), throughProxy],
] as const)('a connection that %s without an answer', (_verb, code, close, way) => {
  let fetchThere: () => Promise<Response>;
  beforeEach(() => {
    fetchThere = way();
  });
  const answerOnly = (...requests: number[]) => {
    server.answer = ({ socket }, response) => {
      if (requests.includes(server.received.length)) response.end('answer');
      else close(socket);
    };
  };
  /** The connection is free again after the turn of the event loop in which the answer ended. */
  const ask = async () => {
    await setImmediate();
    return (await fetchThere()).text();
  };

  it('is replaced by a new one, if it was open before: the server may have closed all that were idle', async () => {
    answerOnly(1, 3);
    expect([await ask(), await ask()]).toEqual(['answer', 'answer']);
    expect(server.received.map(({ headers }) => headers.connection)).toEqual(['keep-alive', 'keep-alive', 'close']);
  });

  it('is replaced once', async () => {
    answerOnly(1);
    await ask();
    await expect(ask()).rejects.toMatchObject({ code });
    expect(server.received).toHaveLength(3);
  });

  it('is not replaced, if it is new', async () => {
    answerOnly();
    await expect(ask()).rejects.toMatchObject({ code });
    expect(server.received).toHaveLength(1);
  });
});

it.each([
  ['is not HTTP', 'SSH-2.0-OpenSSH\r\n'],
  ['has too long a head', `HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`],
])('a request whose answer %s is sent once, also on a connection that was open before', async (_what, answer) => {
  await fetched();
  await setImmediate();
  server.answer = ({ socket }) => void socket.write(answer);
  await expect(fetched()).rejects.toThrow();
  expect(server.received).toHaveLength(2);
});

function answerWith(body: string | Buffer, headers: Record<string, string> = {}): void {
  server.answer = (_request, response) => response.writeHead(200, headers).end(body);
}

describe('an answer of a session server', () => {
  it.each([
    [418, '茶', {}, '茶'],
    [204, '', {}, ''],
    // An error page that is no text counts as empty.
    [300, gzipSync('x'), { 'content-encoding': 'gzip' }, ''],
    [401, Buffer.from([0xff]), {}, ''],
  ])('has its status, headers and text: %i', async (status, body, headers, shown) => {
    server.answer = (_request, response) => response.writeHead(status, { 'x-kind': 'teapot', ...headers }).end(body);
    const answer = await fetched();
    expect([answer.status, answer.headers.get('x-kind'), await answer.text()]).toEqual([status, 'teapot', shown]);
  });

  it.each([undefined, 5])('may have 64 KiB or another limit, and not one byte more: %s', async (limit) => {
    answerWith('x'.repeat(limit ?? LIMIT));
    expect(await textOf(limit)).toHaveLength(limit ?? LIMIT);
    answerWith('x'.repeat((limit ?? LIMIT) + 1));
    await expect(textOf(limit)).rejects.toThrow(`The answer may have at most ${limit ?? LIMIT} bytes`);
  });

  it.each([
    ['gzip', gzipSync('x')],
    ['br', 'text whose header is wrong'],
    ['identity', Buffer.from('é').subarray(0, 1)],
  ])('must be UTF-8, and not compressed: %s', async (encoding, body) => {
    answerWith(body, { 'content-encoding': encoding });
    await expect(fetched()).rejects.toThrow('The answer must be UTF-8, and not compressed');
  });

  it('is UTF-8, also where a character is cut into two chunks', async () => {
    const bytes = Buffer.from('é');
    server.answer = (_request, response) => {
      response.write(bytes.subarray(0, 1), () => setTimeout(() => response.end(bytes.subarray(1)), 20));
    };
    expect(await textOf()).toBe('é');
  });
});

describe('the contact with a session server', () => {
  const noted = async (ask: () => Promise<unknown>) => {
    const contact = new ContactHistory(systemClock);
    await noteContact({ clock: systemClock, contact }, ask).catch(() => undefined);
    return contact;
  };

  it('has the time of the last success', async () => {
    const { lastSuccessAt, lastFailure } = await noted(async () => 'answer');
    expect(Math.abs((lastSuccessAt ?? 0) - systemClock.now())).toBeLessThan(10_000);
    expect(lastFailure).toBeUndefined();
  });

  it.each([
    ['HTTP 503', new UnexpectedStatus(503, SESSION_REASONS.jwksStatus)],
    ['ECONNREFUSED', new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) })],
    ['timeout', new DOMException('late', 'TimeoutError')],
    ['broken answer', new TypeError('<p>secret of the server</p>')],
    ['broken answer', Object.assign(new Error(), { code: '<p>ERR' })],
    ['broken answer', Object.assign(new Error(), { code: 'ERR</p>' })],
    ['broken answer', Object.assign(new Error(), { code: 20 })],
  ])('has the kind of the last failure, and no text of the server: %s', async (reason, error) => {
    const { lastSuccessAt, lastFailure } = await noted(() => Promise.reject(error));
    expect(lastSuccessAt).toBeUndefined();
    expect(lastFailure).toEqual({ at: expect.any(Number), reason });
  });
});
