import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { BrokerProcess } from '../support/broker-process.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { expectPrompt } from '../support/honest-reads.ts';
import { plainRequest } from '../support/plain-request.ts';
import { type RawConnection, sendRaw } from '../support/raw-connection.ts';

const HALF_HEAD = 'GET /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nX-Slow: ';
const HALF_BODY = 'DELETE /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nContent-Length: 100\r\n\r\nhalf';
const PROBE = 'GET /readyz HTTP/1.1\r\nHost: broker\r\n\r\n';
const NOT_HTTP = 'not HTTP\r\n\r\n';

/** Holds `count` connections that sent these bytes, until the test ends. */
async function holdConnections(url: string, count: number, bytes: string): Promise<RawConnection[]> {
  const held = await Promise.all(Array.from({ length: count }, () => sendRaw(url, bytes)));
  onTestFinished(() => {
    for (const { socket } of held) socket.destroy();
  });
  return held;
}

/** The number of open TCP sockets of the process. */
async function socketCount({ adminUrl }: BrokerProcess): Promise<number> {
  const { body } = await plainRequest(`${adminUrl}/metrics`);
  return Number(/^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)$/m.exec(body)?.[1] ?? 0);
}

/** Reads a known token for this long, each time over a new connection. */
async function readKnownToken(fleet: Fleet, session: string, forMs: number) {
  const results: string[] = [];
  const durations: number[] = [];
  for (const end = performance.now() + forMs; performance.now() < end; await sleep(20)) {
    const startedAt = performance.now();
    const read = fleet.broker(0).getToken(session, 'phone');
    const [result] = await Promise.allSettled([read]);
    results.push(result.status === 'fulfilled' ? `${result.value.status}` : String(result.reason));
    durations.push(performance.now() - startedAt);
  }
  return { results, durations };
}

/**
 * Asks for answers that do not fit in the buffers of the operating system. The broker reads no more requests as soon as
 * an answer does not fit.
 */
async function fillBuffers(connections: readonly RawConnection[]): Promise<void> {
  const requests = ['/openapi.json', '/metrics'].map((path) => `GET ${path} HTTP/1.1\r\nHost: broker\r\n\r\n`);
  for (let round = 0; round < 100; round++) {
    for (const { socket } of connections) if (socket.writable) socket.write(requests.join('').repeat(10));
    await sleep(50);
  }
}

/** Sends one more byte over each connection, again and again, until the test ends. */
function drip(connections: readonly RawConnection[], everyMs: number): void {
  const timer = setInterval(() => {
    for (const { socket } of connections) if (socket.writable) socket.write('x');
  }, everyMs);
  onTestFinished(() => clearInterval(timer));
}

describe('strangers that hold connections', () => {
  test('1,100 half-sent requests at 1,024 descriptors hurt no reader of a known token', async () => {
    const fleet = await startFleet({ replicas: 1, descriptors: 1_024 });
    const [broker, session] = [fleet.broker(0), await fleet.session('honest')];
    await broker.getToken(session, 'phone');
    const attackers = await holdConnections(broker.url, 1_000, HALF_HEAD);
    await holdConnections(broker.adminUrl, 100, HALF_HEAD);
    const comeBack = setInterval(() => {
      const closed = attackers.filter(({ socket }) => socket.closed || socket.readableEnded).slice(0, 50);
      for (const { socket } of closed)
        attackers.splice(
          attackers.findIndex((one) => one.socket === socket),
          1,
        );
      void holdConnections(broker.url, closed.length, HALF_HEAD).then((more) => attackers.push(...more));
    }, 100);
    onTestFinished(() => clearInterval(comeBack));
    const { results, durations } = await readKnownToken(fleet, session, 4_000);
    clearInterval(comeBack);
    expect(new Set(results)).toEqual(new Set(['200']));
    expectPrompt(durations);
    expect(await socketCount(broker)).toBeLessThan(700);
    expect((await plainRequest(`${broker.url}/livez`)).status).toBe(200);
    expect((await plainRequest(`${broker.adminUrl}/livez`)).status).toBe(200);
  });

  test.each([
    ['plenty of', undefined, 4_096, 512],
    ['1,024', 1_024, 512, 128],
  ] as const)(
    'with %s descriptors, a bounded number of connections to each API stays open',
    async (_, limit, ofPublic, ofInternal) => {
      const { url, adminUrl } = (
        await startFleet({ replicas: 1, ...(limit !== undefined && { descriptors: limit }) })
      ).broker(0);
      for (const [api, most] of [
        [url, ofPublic],
        [adminUrl, ofInternal],
      ] as const) {
        const held = await holdConnections(api, most + 50, PROBE);
        const open = () => held.filter(({ socket }) => !socket.readableEnded && !socket.closed).length;
        await eventually(() => expect(open()).toBeLessThanOrEqual(most));
        expect(open()).toBeGreaterThan(most / 2);
      }
    },
  );

  test('no socket of a caller that never reads, never closes or drips is held for long', {
    timeout: 60_000,
  }, async () => {
    const fleet = await startFleet({ replicas: 1, env: { API_DOCS: 'true' } });
    const { url, adminUrl } = fleet.broker(0);
    const before = await socketCount(fleet.broker(0));
    const unread = [...(await holdConnections(url, 5, '')), ...(await holdConnections(adminUrl, 5, ''))];
    for (const { socket } of unread) socket.pause();
    await fillBuffers(unread);
    const kinds = ['', HALF_HEAD, HALF_BODY, NOT_HTTP, PROBE + HALF_HEAD, PROBE + HALF_BODY];
    for (const listener of [url, adminUrl]) {
      drip(await holdConnections(listener, 60, HALF_HEAD), 1_000);
      for (const kind of kinds) await holdConnections(listener, 20, kind);
    }
    expect(await socketCount(fleet.broker(0))).toBeGreaterThan(before + 200);
    const allClosed = async () => (await socketCount(fleet.broker(0))) <= before + 1;
    // It takes 12 s on a machine that does nothing else.
    await eventually(allClosed, { timeoutMs: 24_000, everyMs: 200 });
  });

  test('300 dripping sockets do not delay a shutdown', async () => {
    const fleet = await startFleet({ replicas: 1 });
    const broker = fleet.broker(0);
    for (const kind of [HALF_HEAD, HALF_BODY, PROBE + HALF_HEAD])
      drip(await holdConnections(broker.url, 100, kind), 200);
    await vi.waitFor(async () => expect(await socketCount(broker)).toBeGreaterThan(200), 5_000);
    const startedAt = performance.now();
    broker.signal('SIGTERM');
    expect((await broker.exit).code).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(4_000);
  });
});

describe('a malformed request', () => {
  const requests = [
    ['Transfer-Encoding that does not exist', 'Transfer-Encoding: xchunked', ''],
    ['Transfer-Encoding that does not end with chunked', 'Transfer-Encoding: chunked, identity', '0\r\n\r\n'],
    ['Transfer-Encoding twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', '0\r\n\r\n'],
    ['Transfer-Encoding with Content-Length', 'Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n'],
    ['a chunk without a length', 'Transfer-Encoding: chunked', 'ZZZ\r\n\r\n'],
    [
      'a chunk without a length, and no answer to Expect',
      'Expect: 200-ok\r\nTransfer-Encoding: chunked',
      'ZZZ\r\n\r\n',
    ],
  ] as const;
  const starts = ['GET /livez', 'GET /nowhere', 'DELETE /sdk-token?uniqueId=phone', 'GET /sdk-token?uniqueId=phone'];

  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet({ replicas: 1, vendor: { latencyMs: 300 } });
  });
  afterAll(() => fleet.close());

  test.each(requests)('gets exactly one answer, then the connection ends: %s', async (_what, headers, body) => {
    const authorization = `Authorization: Bearer ${await fleet.session('honest')}`;
    for (const url of [fleet.broker(0).url, fleet.broker(0).adminUrl]) {
      for (const start of starts) {
        for (const host of ['Host: broker\r\n', '']) {
          const head = `${start} HTTP/1.1\r\n${host}${authorization}\r\n${headers}\r\n\r\n`;
          const atOnce = await sendRaw(url, head + body + PROBE);
          const inTwo = await sendRaw(url, head);
          await sleep(20);
          inTwo.socket.write(body + PROBE);
          for (const connection of [atOnce, inTwo]) {
            await connection.ended(5_000);
            connection.socket.destroy();
            expect(connection.received().match(/HTTP\/1\.1 \d\d\d /g), head).toHaveLength(1);
            expect(connection.received(), head).not.toContain('"ready"');
          }
        }
      }
    }
  });

  test('after a valid one does not replace or overtake the answer to the valid one', async () => {
    const session = await fleet.session('overtaken');
    const head = `GET /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer ${session}\r\n\r\n`;
    const { received, ended, socket } = await sendRaw(fleet.broker(0).url, head + NOT_HTTP);
    await ended(5_000);
    socket.destroy();
    expect(received()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(received().match(/HTTP\/1\.1 \d\d\d /g)).toHaveLength(1);
  });

  test('that stays incomplete gets its answer after the one to the valid request before it', async () => {
    const session = await fleet.session('incomplete');
    const head = (method: string) =>
      `${method} /sdk-token?uniqueId=phone HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer ${session}\r\n`;
    const half = `${head('DELETE')}Content-Length: 100\r\n\r\nhalf`;
    const { received, ended, socket } = await sendRaw(fleet.broker(0).url, `${head('GET')}\r\n${half}`);
    socket.end();
    await ended(5_000);
    socket.destroy();
    expect(received().match(/HTTP\/1\.1 \d\d\d /g)).toEqual(['HTTP/1.1 200 ', 'HTTP/1.1 400 ']);
  });
});
