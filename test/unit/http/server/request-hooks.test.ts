import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import helmet from '@fastify/helmet';
import fastify from 'fastify';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SECURITY_HEADERS } from '../../../../src/http/server/answer-headers.ts';
import { BrokerError } from '../../../../src/token/errors.ts';
import { sendLateBody, sendRaw } from '../../../support/raw-connection.ts';
import { type AppSettings, type RunningApp, SESSION, servedToken, startApp } from '../running-app.ts';
import { ADMIN_TOKEN, startInternalApp } from '../running-internal-app.ts';

type RunningTokens = NonNullable<AppSettings['tokens']>;
const FRESH = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('the request id', () => {
  const idFor = async (sent?: string) => {
    const { origin } = await startApp();
    const response = await fetch(`${origin}/sdk-token`, {
      headers: sent === undefined ? {} : { 'x-request-id': sent },
    });
    const { requestId } = (await response.json()) as { requestId: string };
    expect(response.headers.get('x-request-id')).toBe(requestId);
    return requestId;
  };

  it.each(['a', 'trace.1_2-3', 'x'.repeat(64)])('is the caller’s if it is safe: %s', async (id) => {
    expect(await idFor(id)).toBe(id);
  });

  it.each([undefined, '', 'x'.repeat(65), 'a b', 'a,b', '<script>', '{"a":1}', 'é'])(
    'is a new one for %j',
    async (id) => {
      expect(await idFor(id)).toMatch(FRESH);
    },
  );

  it('is a new one for each read, and the one that the log lines about its login have', async () => {
    for (const read of [async () => servedToken(), () => Promise.reject(new BrokerError('vendor_busy'))]) {
      const ids: unknown[] = [];
      const tokens: RunningTokens = {
        read({ requestId }) {
          ids.push(requestId);
          return read();
        },
      };
      const { getToken } = await startApp({ tokens });
      const sent = [await getToken(), await getToken()].map(({ headers }) => headers.get('x-request-id'));
      expect(sent).toEqual([expect.stringMatching(FRESH), expect.stringMatching(FRESH)]);
      expect(new Set(sent).size).toBe(2);
      expect(ids).toEqual(sent);
    }
  });
});

describe('a request with a Content-Type, but without a body', () => {
  const answerTo = async (origin: string, line: string): Promise<string> => {
    const headers = `Host: a\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\nContent-Type: application/json`;
    const connection = await sendRaw(origin, `${line} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`);
    await connection.ended(5_000);
    connection.socket.destroy();
    return connection.received();
  };

  it.each([
    ...['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => [`${method} /nowhere`, 404, 404] as const),
    ['DELETE /sdk-token?uniqueId=phone', 204, 404],
    ['PUT /livez', 405, 405],
    ['DELETE /accounts/user-1', 404, 204],
    ['POST /accounts/lookup', 404, 400],
  ] as const)('gets an answer to %s: %i from the public API, %i from the internal one', async (line, ...statuses) => {
    const origins = [(await startApp()).origin, (await startInternalApp()).origin];
    const answers = await Promise.all(origins.map((origin) => answerTo(origin, line)));
    for (const [at, status] of statuses.entries()) expect(answers[at]).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });
});

it.each([
  ['1.0', 0, 200],
  ['1.0', 2, 400],
  ['1.1', 0, 400],
  ['1.1', 1, 200],
  ['1.1', 2, 400],
])(
  'a request over HTTP/%s with %i Host headers gets %i, also from the short way of a read',
  async (version, hosts, status) => {
    const { raw } = await startApp();
    const headers = `${'Host: x\r\n'.repeat(hosts)}Authorization: Bearer ${SESSION}\r\nConnection: close\r\n\r\n`;
    for (const path of ['/livez', '/sdk-token?uniqueId=phone']) {
      expect(await raw(`GET ${path} HTTP/${version}\r\n${headers}`)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
  },
);

it('the answer to a read with a body, which nobody reads, says that the connection ends', async () => {
  const { raw } = await startApp();
  const head = `GET /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${SESSION}\r\n`;
  const answer = await raw(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is);
});

describe('the security headers', () => {
  it('are on every answer, with a policy that forbids all content', async () => {
    const { origin, getToken } = await startApp();
    for (const response of [await getToken(), await fetch(`${origin}/livez`), await fetch(`${origin}/nowhere`)]) {
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-security-policy': "default-src 'none';frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
      });
    }
  });

  it('are those that helmet sets, without the one that binds the host to HTTPS', async () => {
    const app = fastify();
    await app.register(helmet, {
      strictTransportSecurity: false,
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    });
    app.get('/', (_request, reply) => reply.send(reply.getHeaders()));
    expect((await app.inject('/')).json()).toEqual(SECURITY_HEADERS);
  });
});

describe('during shutdown', () => {
  it.each(['/sdk-token?uniqueId=a', '/nowhere', '/openapi.json', '/docs'])(
    '%s is refused as shutting_down, without a log line',
    async (path) => {
      const { origin, log } = await startApp({ closing: AbortSignal.abort() });
      const before = log().length;
      const response = await fetch(origin + path, { headers: { authorization: `Bearer ${SESSION}` } });
      expect(log().length).toBe(before);
      expect(response.status).toBe(503);
      expect(response.headers.get('connection')).toBe('close');
      expect(response.headers.get('retry-after')).toBe('1');
      expect(await response.json()).toMatchObject({ code: 'shutting_down', retryable: true });
    },
  );

  it('a body that arrives after the refusal does not cost its caller the answer', async () => {
    const { origin } = await startApp({ closing: AbortSignal.abort() });
    const head = 'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n';
    const { socket, received } = await sendRaw(origin, head);
    onTestFinished(() => void socket.destroy());
    await expect.poll(received).toMatch(/^HTTP\/1\.1 503 /);
    await sendLateBody(socket);
    expect(socket.errored).toBe(null);
  });

  it('a request in flight is answered, its connection closes, and an idle connection closes after two seconds', async () => {
    const closing = new AbortController();
    const events = new EventEmitter();
    const tokens: RunningTokens = {
      async read() {
        setImmediate(() => events.emit('asked'));
        const [token] = await once(events, 'answer');
        return token;
      },
    };
    const asked = once(events, 'asked');
    const running = await startApp({ tokens, closing: closing.signal });
    const idle = await connection(running);
    idle.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(idle, 'data');
    const inFlight = await connection(running);
    inFlight.write(`GET /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${SESSION}\r\n\r\n`);
    await asked;

    closing.abort();
    const abortedAt = performance.now();
    const closed = running.app.close();
    events.emit('answer', servedToken());
    const received = await text(inFlight);

    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(received.toLowerCase()).toContain('\r\nconnection: close\r\n');
    await closed;
    expect(performance.now() - abortedAt).toBeGreaterThan(1_900);
    expect(performance.now() - abortedAt).toBeLessThan(10_000);
  });

  it.each([
    [1_900, /^HTTP\/1\.1 200 /],
    [2_100, /^HTTP\/1\.1 503 [\s\S]*"code":"shutting_down"/],
  ])(
    'a request on a kept connection is answered %i ms after it began: %s, and its connection closes',
    async (ms, answer) => {
      const closing = new AbortController();
      const running = await startApp({ closing: closing.signal });
      const kept = await connection(running);
      kept.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(kept, 'data');
      const now = performance.now();
      closing.abort();
      const closed = running.app.close();
      const clock = vi.spyOn(performance, 'now').mockReturnValue(now + ms);
      onTestFinished(() => clock.mockRestore());
      kept.write(`GET /sdk-token?uniqueId=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${SESSION}\r\n\r\n`);
      const received = await text(kept);
      expect(received).toMatch(answer);
      expect(received.toLowerCase()).toContain('\r\nconnection: close\r\n');
      await closed;
    },
  );
});

it('close() does not wait for a connection that never carried a request', async () => {
  const running = await startApp();
  const opened = new Promise((resolve) => running.app.server.once('connection', resolve));
  const silent = await connection(running);
  await opened;
  await running.app.close();
  expect(await text(silent)).toBe('');
});

async function connection({ app }: RunningApp): Promise<Socket> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}
