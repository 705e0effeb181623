import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../../src/token/clock.ts';
import type { FaultKind } from '../../../src/vendor-api/faults.ts';
import { prepareLogin } from '../../../src/vendor-api/signed-call.ts';
import { freePort } from '../../support/free-port.ts';
import { START_MS, TestClock } from '../../support/test-clock.ts';
import { virtualClock } from '../../support/virtual-clock.ts';
import { faultOf, IOS, vendorClient } from './running-vendor-login.ts';
import { json, scriptedVendor } from './scripted-vendor.ts';

const PATIENT_MS = 20_000;
const HASTY_MS = 150;
const LIMIT = 256 * 1024;
const MAX_CONNECTIONS = 64;

function login(domain: URL) {
  const subject = { app: 'ios', unionId: 'canary-用户', uniqueId: 'canary-phone' };
  return prepareLogin({ domain, app: IOS, subject, region: 'CN', nonce: 7, timestamp: 1_700_000_000 });
}

function client(connectTimeoutMs = PATIENT_MS, clock: Clock = systemClock) {
  return vendorClient({ connectTimeoutMs, clock });
}

/** A TCP server that answers only with the result of `speak`. */
async function rawServer(speak: (received: Buffer) => Buffer | undefined): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (received) => {
      const said = speak(received);
      if (said) socket.end(said);
    });
    onTestFinished(() => void socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

describe('an attempt', () => {
  it('sends exactly the prepared request and returns the answer', async () => {
    const vendor = await scriptedVendor(
      json('{"msg":"成功😀"}', 418, { Date: 'Thu, 01 Jan 2026 00:00:00 GMT', 'Retry-After': '7' }),
    );
    const prepared = login(vendor.url);
    const response = await client().post(prepared, PATIENT_MS);
    expect(response).toEqual({
      status: 418,
      text: '{"msg":"成功😀"}',
      dateHeader: Date.UTC(2026, 0, 1),
      retryAfter: 7,
    });
    expect(vendor.seen).toHaveLength(1);
    expect(vendor.seen[0]).toMatchObject({ method: 'POST', path: prepared.url.pathname, body: prepared.body });
    const lowered = Object.entries(prepared.headers).map(([name, value]) => [name.toLowerCase(), value]);
    expect(vendor.seen[0]?.headers).toEqual({
      ...{ host: prepared.url.host, connection: 'keep-alive', 'content-length': String(prepared.body.length) },
      ...{ accept: 'application/json', 'user-agent': 'sdk-token-broker/1.2.3' },
      ...Object.fromEntries(lowered),
    });
  });

  it('compares a Retry-After date with the vendor’s own clock', async () => {
    const headers = { Date: 'Thu, 01 Jan 2026 00:00:00 GMT', 'Retry-After': 'Thu, 01 Jan 2026 00:00:30 GMT' };
    const vendor = await scriptedVendor(json('', 503, headers));
    expect((await client().post(login(vendor.url), PATIENT_MS)).retryAfter).toBe(30);
  });

  it('uses the first of several headers with one name', async () => {
    const vendor = await scriptedVendor((response) => response.setHeader('Retry-After', ['7', '9']).end());
    expect((await client().post(login(vendor.url), PATIENT_MS)).retryAfter).toBe(7);
  });

  it('compares a Retry-After date with the broker’s clock if the answer has no Date header', async () => {
    const vendor = await scriptedVendor((response) => {
      response.sendDate = false;
      response.setHeader('Retry-After', new Date(START_MS + 600_000).toUTCString()).end();
    });
    const { retryAfter } = await client(PATIENT_MS, new TestClock()).post(login(vendor.url), PATIENT_MS);
    expect(retryAfter).toBe(600);
  });

  it('follows no redirect', async () => {
    const target = await scriptedVendor(json('{}'));
    const vendor = await scriptedVendor(json('', 307, { Location: target.url.href }));
    expect((await client().post(login(vendor.url), PATIENT_MS)).status).toBe(307);
    expect(target.seen).toHaveLength(0);
  });
});

describe('connections', () => {
  it('offer HTTP/1.1 only, because undici limits the size of no other answer', async () => {
    let hello: Buffer = Buffer.alloc(0);
    const port = await rawServer((received) => {
      hello = received;
      return Buffer.from('no TLS');
    });
    await faultOf(client().post(login(new URL(`https://127.0.0.1:${port}`)), PATIENT_MS));
    // The names of the protocols in the TLS ClientHello (RFC 7301), each after its length.
    expect(hello.includes('\x08http/1.1')).toBe(true);
    expect(hello.includes('\x02h2')).toBe(false);
  });

  it('are kept alive', async () => {
    const ports: (number | undefined)[] = [];
    const vendor = await scriptedVendor((response) => {
      ports.push(response.socket?.remotePort);
      response.end('{}');
    });
    const kept = client();
    for (let i = 0; i < 10; i++) await kept.post(login(vendor.url), PATIENT_MS);
    // undici may open a second one before the first one is ready for the next request.
    expect(new Set(ports).size).toBeLessThanOrEqual(2);
  });

  it('are bounded per origin', async () => {
    const ports = new Set<number | undefined>();
    const held: ServerResponse[] = [];
    const vendor = await scriptedVendor((response, _, index) => {
      ports.add(response.socket?.remotePort);
      if (index >= MAX_CONNECTIONS) response.end('{}');
      else if (held.push(response) === MAX_CONNECTIONS) for (const first of held) first.end('{}');
    });
    const bounded = client();
    const attempts = Array.from({ length: 2 * MAX_CONNECTIONS }, () => bounded.post(login(vendor.url), PATIENT_MS));
    await Promise.all(attempts);
    expect(vendor.seen).toHaveLength(2 * MAX_CONNECTIONS);
    expect(ports.size).toBe(MAX_CONNECTIONS);
  });
});

describe('the deadline', () => {
  it.each([
    [PATIENT_MS, HASTY_MS],
    [HASTY_MS, PATIENT_MS],
  ])('covers the start of the connection, with a timeout of its own: %i and %i ms', async (connectMs, deadlineMs) => {
    const port = await rawServer(() => undefined);
    const attempt = client(connectMs).post(login(new URL(`https://127.0.0.1:${port}`)), deadlineMs);
    expect((await faultOf(attempt)).kind).toBe('timeout');
  });

  it('is exact, and its timer is cancelled when the attempt ends', async () => {
    const { clock, pass, pending } = virtualClock();
    const answers = [(response: ServerResponse) => response.end(), (response: ServerResponse) => response.destroy()];
    const vendor = await scriptedVendor((response, _, index) => answers[index]?.(response));
    const timed = client(PATIENT_MS, clock);
    const attempt = timed.post(login(vendor.url), PATIENT_MS);
    expect(pending()).toBe(1);
    await attempt;
    expect(pending()).toBe(0);
    await faultOf(timed.post(login(vendor.url), PATIENT_MS));
    expect(pending()).toBe(0);
    const late = faultOf(timed.post(login(vendor.url), PATIENT_MS));
    await pass(PATIENT_MS - 1);
    expect(pending()).toBe(1);
    await pass(1);
    expect((await late).kind).toBe('timeout');
  });

  it('covers the wait for a free connection, and a request past its deadline is never sent', async () => {
    const arrivals = new EventEmitter();
    const held: ServerResponse[] = [];
    const vendor = await scriptedVendor((response) => {
      if (held.push(response) === MAX_CONNECTIONS) arrivals.emit('all');
      else if (held.length > MAX_CONNECTIONS) response.end('{}');
    });
    const full = client();
    const arrival = once(arrivals, 'all');
    const first = Array.from({ length: MAX_CONNECTIONS }, () => full.post(login(vendor.url), PATIENT_MS));
    await arrival;
    expect((await faultOf(full.post(login(vendor.url), HASTY_MS))).kind).toBe('timeout');
    for (const response of held) response.end('{}');
    await Promise.all(first);
    await full.post(login(vendor.url), PATIENT_MS);
    expect(vendor.seen).toHaveLength(MAX_CONNECTIONS + 1);
  });
});

describe('the size of an answer', () => {
  it('may be 256 KiB', async () => {
    const vendor = await scriptedVendor(json('x'.repeat(LIMIT)));
    expect((await client().post(login(vendor.url), PATIENT_MS)).text).toHaveLength(LIMIT);
  });

  it('is limited while it streams: an endless answer is cut off', async () => {
    const chunk = 'x'.repeat(64 * 1024);
    const cuts = new EventEmitter();
    const cut = once(cuts, 'cut');
    let bytes = 0;
    const vendor = await scriptedVendor((response) => {
      const pour = () => {
        do bytes += chunk.length;
        while (response.write(chunk) && bytes < 2 ** 28);
        if (bytes >= 2 ** 28) response.end();
      };
      response.on('drain', pour).on('close', () => cuts.emit('cut'));
      pour();
    });
    expect((await faultOf(client().post(login(vendor.url), PATIENT_MS))).kind).toBe('too_large');
    await cut;
    // More than the limit, because the kernel buffers on both sides. Far less than the server would send.
    expect(bytes).toBeLessThan(2 ** 25);
  });
});

describe('a connection', () => {
  it('that is refused is reported with its error code', async () => {
    const fault = await faultOf(client().post(login(new URL(`http://127.0.0.1:${await freePort()}`)), PATIENT_MS));
    expect(fault).toMatchObject({ kind: 'unreachable', facts: { problem: 'ECONNREFUSED' } });
  });

  it('without HTTP counts as unreachable, and the error shows nothing of the data', async () => {
    const port = await rawServer((received) => received);
    const fault = await faultOf(client().post(login(new URL(`http://127.0.0.1:${port}`)), PATIENT_MS));
    expect(fault.kind).toBe('unreachable');
  });
});

/** Answers in the middle of a body, and closes the connection. */
const breaking = (headers: Record<string, string>) => (response: ServerResponse) => {
  response.writeHead(200, headers);
  response.write('{"code":0}', () => response.socket?.destroy());
};

/** Goes on with a body that does not end. */
const dripping = (response: ServerResponse) => {
  const drops = setInterval(() => response.write(' '), 5);
  response.on('close', () => clearInterval(drops));
};

const NOT_UTF8 = Buffer.from([0x22, 0xff, 0x22]);

it.each<[string, (response: ServerResponse) => unknown, FaultKind, number?]>([
  ['no headers before the deadline', () => undefined, 'timeout', HASTY_MS],
  ['a slow body that does not end before the deadline', dripping, 'timeout', HASTY_MS],
  ['a reset connection', (response) => response.socket?.destroy(), 'unreachable'],
  ['a counted body that breaks off', breaking({ 'Content-Length': '100' }), 'unreachable'],
  ['a chunked body that breaks off', breaking({}), 'unreachable'],
  ['one byte more than 256 KiB', (response) => response.end('x'.repeat(LIMIT + 1)), 'too_large'],
  ['text that is not UTF-8', (response) => response.end(NOT_UTF8), 'broken_answer'],
])('an attempt that gets %s is not repeated and is a fault of its kind', async (_, answer, kind, deadlineMs) => {
  const vendor = await scriptedVendor((response) => void answer(response));
  const fault = await faultOf(client().post(login(vendor.url), deadlineMs ?? PATIENT_MS));
  expect(fault.kind).toBe(kind);
  if (kind === 'broken_answer') expect(fault.facts).toMatchObject({ problem: 'the answer is not UTF-8' });
  expect(vendor.seen).toHaveLength(1);
});

it('a closed client aborts the attempt in flight, and sends nothing', async () => {
  const arrivals = new EventEmitter();
  const arrival = once(arrivals, 'one');
  const vendor = await scriptedVendor(() => arrivals.emit('one'));
  const closed = client();
  const inFlight = faultOf(closed.post(login(vendor.url), PATIENT_MS));
  await arrival;
  await closed.close();
  for (const attempt of [inFlight, faultOf(closed.post(login(vendor.url), PATIENT_MS))]) {
    expect((await attempt).kind).toBe('unreachable');
  }
  expect(vendor.seen).toHaveLength(1);
});
