import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { withSession } from '../../../../src/http/server/connections.ts';
import { createBaseApp } from '../../../../src/http/server/server.ts';
import { captureLog } from '../../../support/captured-log.ts';
import { eventually } from '../../../support/eventually.ts';

const MAX = 8;
const REQUEST = 'GET /quick HTTP/1.1\r\nHost: x\r\n\r\n';
const WITH_SESSION = 'GET /quick HTTP/1.1\r\nHost: x\r\nAuthorization: accepted\r\n\r\n';
const SLOW_STRANGER = 'GET /slow HTTP/1.1\r\nHost: x\r\n\r\n';
const SLOW = 'GET /slow HTTP/1.1\r\nHost: x\r\nAuthorization: accepted\r\n\r\n';
const HALF_BODY = 'GET /quick HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1';
const HALF = 'GET /quick HTTP/1.1\r\nHost: x\r\n';

/** An app with at most {@link MAX} connections. `/slow` answers when `answerSlow` is called. */
async function startBounded() {
  const log = captureLog('info');
  const closing = new AbortController();
  let running = 0;
  let answerSlow = () => {};
  const slow = new Promise<void>((resolve) => {
    answerSlow = resolve;
  });
  const app = createBaseApp({
    logger: log.logger,
    closing: closing.signal,
    realm: 'test',
    bodyLimit: 100,
    maxConnections: MAX,
  });
  onTestFinished(() => app.close());
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers.authorization === 'accepted') withSession.add(raw.socket);
  });
  app.get('/quick', { schema: {} }, async () => 'quick');
  app.get('/last', { schema: {} }, async (_request, reply) => reply.header('connection', 'close').send('last'));
  app.get('/large', { schema: {} }, async () => Buffer.alloc(32 * 2 ** 20));
  app.get('/slow', { schema: {} }, async () => {
    running += 1;
    await slow;
    return 'slow';
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const open = async (bytes = '', allowHalfOpen = false): Promise<Socket> => {
    const { port } = app.server.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {});
    const accepted = once(app.server, 'connection');
    await Promise.all([once(socket, 'connect'), accepted]);
    socket.write(bytes);
    return socket;
  };
  /** Opens a connection, and waits until it got the answer to one request. */
  const openUsed = async (request = REQUEST): Promise<Socket> => {
    const socket = await open(request);
    await once(socket, 'data');
    return socket;
  };
  const connectionCount = promisify(app.server.getConnections.bind(app.server));
  return { app, closing, open, openUsed, connectionCount, answerSlow, running: () => running, log };
}

/** Bytes that arrive after a request that waits, and the number of answers to all of them. */
const PIPELINED = [
  ['a request', REQUEST, 2],
  ['a request without the end of its body', HALF_BODY, 1],
] as const;

/** All that the caller receives from now on. */
function receivedBy(socket: Socket): () => string {
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  return () => received;
}

function several(count: number, open: () => Promise<Socket>): Promise<Socket[]> {
  return Array.from({ length: count }).reduce<Promise<Socket[]>>(
    async (sockets) => [...(await sockets), await open()],
    Promise.resolve([]),
  );
}

async function isAnswered(socket: Socket): Promise<boolean> {
  socket.write(REQUEST);
  const closed = socket.closed ? [] : once(socket.resume(), 'close');
  const [answer] = await Promise.race([once(socket, 'data'), closed]);
  return String(answer).startsWith('HTTP/1.1 200 ');
}

describe('a listener with all its connections in use', () => {
  it('closes the oldest connection of those without a session', async () => {
    const { open, openUsed } = await startBounded();
    const used = await several(2, () => openUsed(WITH_SESSION));
    const [oldest, ...half] = await several(MAX - 2, () => open(HALF));
    const newcomer = await openUsed();
    expect(await text(oldest as Socket)).toBe('');
    for (const socket of half) socket.write('\r\n');
    for (const socket of half) expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of [...used, newcomer]) expect(await isAnswered(socket)).toBe(true);
  });

  it('counts the age of a connection that has carried no request from its opening', async () => {
    const { open, openUsed } = await startBounded();
    const [oldest] = await several(MAX - 1, () => openUsed());
    const silent = await open();
    await openUsed();
    await eventually(() => expect(oldest?.closed).toBe(true));
    expect(await isAnswered(silent)).toBe(true);
  });

  it('closes a connection that waits without a session before an idle one with a session', async () => {
    const { open, openUsed, running } = await startBounded();
    const known = await openUsed(WITH_SESSION);
    const [oldest] = await several(MAX - 1, () => open(SLOW_STRANGER));
    await eventually(() => expect(running()).toBe(MAX - 1));
    expect(await isAnswered(await open())).toBe(true);
    await eventually(() => expect(oldest?.resume().closed).toBe(true));
    expect(await isAnswered(known)).toBe(true);
  });

  it('closes an idle connection with a session if few have none, so that newcomers stay', async () => {
    const { open, openUsed } = await startBounded();
    const [oldest, ...known] = await several(MAX - 2, () => openUsed(WITH_SESSION));
    const newcomers = await several(3, () => open());
    await eventually(() => expect(oldest?.closed).toBe(true));
    for (const socket of [...known, ...newcomers]) expect(await isAnswered(socket)).toBe(true);
  });

  it('closes the connection that was used least recently, if all have carried requests', async () => {
    const { openUsed } = await startBounded();
    const [first, second, ...others] = (await several(MAX, () => openUsed())) as [Socket, Socket, ...Socket[]];
    expect(await isAnswered(first)).toBe(true);
    const newcomer = await openUsed();
    await eventually(() => expect(second.closed).toBe(true));
    for (const socket of [first, ...others, newcomer]) expect(await isAnswered(socket)).toBe(true);
  });

  it('closes a connection whose second request is still arriving', async () => {
    const { openUsed } = await startBounded();
    const sockets = await several(MAX, () => openUsed());
    for (const socket of sockets) socket.write(HALF);
    expect(await isAnswered(await openUsed())).toBe(true);
  });

  it('closes no connection that waits with a session, refuses newcomers, and says so in the log once a second', async () => {
    const { open, answerSlow, running, log } = await startBounded();
    const waiting = await several(MAX, () => open(SLOW));
    await eventually(() => expect(running()).toBe(MAX));
    for (let newcomer = 0; newcomer < 3; newcomer++) expect(await isAnswered(await open())).toBe(false);
    answerSlow();
    for (const socket of waiting) expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
    const warnings = () => log.lines().filter(({ level }) => level === 'warn');
    await eventually(() => expect(warnings()).toHaveLength(2));
    expect(warnings()).toMatchObject([{ max: MAX }, { max: MAX, omitted: 1 }]);
    expect(warnings()[0]).not.toHaveProperty('omitted');
  });

  it.each(PIPELINED)(
    'closes no connection that waits for an answer, and sent %s behind',
    async (_, behind, answers) => {
      const { open, answerSlow, running } = await startBounded();
      const waiting = (await several(MAX, () => open(SLOW + behind))).map(receivedBy);
      await eventually(() => expect(running()).toBe(MAX));
      expect(await isAnswered(await open())).toBe(false);
      answerSlow();
      for (const received of waiting) {
        await eventually(() => expect(received().match(/HTTP\/1\.1 200 /g)?.length).toBeGreaterThanOrEqual(answers));
      }
    },
  );

  it('closes a connection that leaves an answer unread, although it sent another request', async () => {
    const { open, openUsed } = await startBounded();
    const unread = await several(MAX, () => open(`GET /large HTTP/1.1\r\nHost: x\r\n\r\n${REQUEST}`));
    for (const socket of unread) await once(socket, 'readable');
    expect(await isAnswered(await openUsed())).toBe(true);
  });
});

it.each(PIPELINED)('a shutdown lets a request get its answer if the caller sent %s behind', async (_, behind) => {
  const { app, open, answerSlow, running } = await startBounded();
  const received = receivedBy(await open(SLOW + behind));
  await eventually(() => expect(running()).toBe(1));
  const closed = app.close();
  await sleep(2_500);
  answerSlow();
  await closed;
  await eventually(() => expect(received()).toMatch(/^HTTP\/1\.1 200 .*slow/s));
});

it('a shutdown answers a request that arrived on an idle connection before the event loop came to close it', async () => {
  const { closing, openUsed } = await startBounded();
  const idle = await openUsed();
  closing.abort();
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 2_000);
  onTestFinished(() => clock.mockRestore());
  idle.write(REQUEST);
  // When this turn is over, the timer is due, and the request has not been read.
  for (const end = now() + 1_100; now() < end; );
  // From this moment on, a request gets `shutting_down`.
  expect(await text(idle)).toMatch(/^HTTP\/1\.1 503 /);
});

it('a caller gets the answers to two requests that it sends at once, in order; a third one closes the connection', async () => {
  const { open, answerSlow, running } = await startBounded();
  const answered = await open(SLOW + REQUEST);
  const received = receivedBy(answered);
  await eventually(() => expect(running()).toBe(1));
  answerSlow();
  await eventually(() => expect(received()).toMatch(/^HTTP\/1\.1 200 .*slow.*HTTP\/1\.1 200 .*quick/s));
  expect(await isAnswered(answered)).toBe(true);
  const refused = await open(REQUEST.repeat(3));
  await eventually(() => expect(refused.resume().closed).toBe(true));
});

it('a caller that got its answer before the end of its body sends two more requests behind that end', async () => {
  const { open } = await startBounded();
  const socket = await open(HALF_BODY);
  const received = receivedBy(socket);
  const answers = () => received().match(/HTTP\/1\.1 200 /g)?.length;
  await eventually(() => expect(answers()).toBe(1));
  socket.write(`2${REQUEST}${REQUEST}`);
  await eventually(() => expect(answers()).toBe(3));
});

it.each([
  ['stays open for the rest of a body of 64 KiB', 65_536, 2],
  ['ends before the rest of a longer body', 65_537, 1],
])('a connection whose request was answered %s, and the answer says so', async (_, length, answers) => {
  const { open } = await startBounded();
  const socket = await open(`GET /quick HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n1`);
  const received = receivedBy(socket);
  await eventually(() => expect(received()).toContain('HTTP/1.1 200 '));
  socket.write(`${'2'.repeat(length - 1)}GET /last HTTP/1.1\r\nHost: x\r\n\r\n`);
  if (!socket.closed) await once(socket, 'close');
  expect(received().match(/HTTP\/1\.1 200 /g)).toHaveLength(answers);
  expect(/^connection: (\S+)/im.exec(received())?.[1]).toBe(answers > 1 ? 'keep-alive' : 'close');
});

it('an answer to a request whose body comes in chunks that nobody reads says that the connection ends', async () => {
  const { open } = await startBounded();
  const chunks = 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';
  for (const head of ['POST /nowhere', 'GET /quick']) {
    const socket = await open(`${head} HTTP/1.1\r\nHost: x\r\n${chunks}`);
    expect((await text(socket)).toLowerCase()).toContain('\r\nconnection: close\r\n');
  }
});

it('an answer after the last chunk of a body leaves the connection open', async () => {
  const { open } = await startBounded();
  const socket = await open('DELETE /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
  const received = receivedBy(socket);
  await eventually(() => expect(received()).toMatch(/^HTTP\/1\.1 404 .*\r\nconnection: keep-alive\r\n/is));
  expect(await isAnswered(socket)).toBe(true);
});

it.each([
  ['with a body', HALF_BODY],
  [
    'with a body in chunks',
    'POST /quick HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n',
  ],
  ['that expects a 100', 'POST /quick HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n'],
  [
    'that wants another protocol',
    'GET /quick HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  ['that wants a tunnel', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
])('a third request %s closes the connection, and gets no answer', async (_, third) => {
  const { open, running, openUsed } = await startBounded();
  const socket = await open(SLOW);
  const received = receivedBy(socket);
  await eventually(() => expect(running()).toBe(1));
  socket.write(REQUEST + third);
  await eventually(() => expect(socket.closed).toBe(true));
  expect(received()).toBe('');
  // The parser of the closed connection serves another one.
  for (let round = 0; round < 3; round += 1) expect(await isAnswered(await openUsed())).toBe(true);
});

it('nothing is parsed behind a request that was refused', async () => {
  const { app, open } = await startBounded();
  let parsed = 0;
  app.server.on('request', () => {
    parsed += 1;
  });
  const refused = await open(`GET /quick HTTP/1.1\r\nHost: x\r\n${'x: y\r\n'.repeat(100)}\r\n${REQUEST.repeat(1_000)}`);
  expect(await text(refused)).toMatch(/^HTTP\/1\.1 400 .*100 header lines/s);
  expect(parsed).toBe(1);
});

it('Node keeps few more than 100 header lines of a request, however many there are', async () => {
  const { app, open } = await startBounded();
  const kept: number[] = [];
  app.server.on('request', ({ rawHeaders }) => void kept.push(rawHeaders.length / 2));
  const refused = await open(`GET /quick HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(1_000)}\r\n`);
  expect(await text(refused)).toMatch(/^HTTP\/1\.1 400 .*100 header lines/s);
  // Node.js 20 reads 32 at a time. Node.js 24 refuses the request itself.
  expect(Math.max(0, ...kept)).toBeLessThanOrEqual(101 + 32);
});

it.each([
  ['CONNECT', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a request that is no HTTP', 'no HTTP\r\n\r\n'],
])('a caller may reset the connection after the answer to %s', async (_, bytes) => {
  const { app, open } = await startBounded();
  const closed = new Promise((resolve) => app.server.once('connection', (atBroker) => atBroker.once('close', resolve)));
  const socket = await open(bytes);
  await once(socket, 'data');
  socket.resetAndDestroy();
  await closed;
  expect(await isAnswered(await open())).toBe(true);
});

it('a request that waits for its turn is not handled after an answer that closes the connection', async () => {
  const { open, running } = await startBounded();
  const socket = await open(`GET /last HTTP/1.1\r\nHost: x\r\n\r\n${SLOW}`);
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 .*last$/s);
  await sleep(50);
  expect(running()).toBe(0);
});

it('a request that waits for its turn is not handled if its connection ends before', async () => {
  const { open, running, answerSlow } = await startBounded();
  const left = await open(SLOW + SLOW);
  await eventually(() => expect(running()).toBe(1));
  left.destroy();
  await once(left, 'close');
  answerSlow();
  await sleep(50);
  expect(running()).toBe(1);
});

it('a caller that leaves an answer unread is disconnected after 10 s, even if it reads a little now and then', async () => {
  const { open, connectionCount } = await startBounded();
  // A whole number: a sum of fractions may be a little less than 10 s later.
  let now = Math.ceil(performance.now());
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  const socket = await open('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
  const slowReader = setInterval(() => socket.read(10_000), 100);
  onTestFinished(() => clearInterval(slowReader));
  await once(socket, 'readable');
  // The server looks at its connections each second.
  await sleep(1_500);
  now += 9_999;
  await sleep(1_500);
  expect(await connectionCount()).toBe(1);
  now += 1;
  await eventually(async () => expect(await connectionCount()).toBe(0));
});

it('a connection whose request gets no answer is closed after 400 s, and an idle one is not', async () => {
  const { open, openUsed, connectionCount, running } = await startBounded();
  const now = performance.now.bind(performance);
  let passedMs = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + passedMs);
  onTestFinished(() => clock.mockRestore());
  const waiting = await open(SLOW);
  const waitingToo = await open(SLOW + REQUEST);
  const idle = await openUsed();
  await eventually(() => expect(running()).toBe(2));
  passedMs = 380_000;
  await sleep(1_500);
  expect([waiting.closed, waitingToo.closed, idle.closed]).toEqual([false, false, false]);
  passedMs = 401_000;
  await eventually(() => expect([waiting.closed, waitingToo.closed]).toEqual([true, true]));
  expect(idle.closed).toBe(false);
  expect(await connectionCount()).toBe(1);
});

it('an idle connection is closed after the time that each answer announces, 72 s', async () => {
  const { app, open, openUsed } = await startBounded();
  const [answer] = await once(await open(REQUEST), 'data');
  expect(String(answer)).toContain('\r\nKeep-Alive: timeout=72\r\n');
  app.server.keepAliveTimeout = 50;
  const idle = await openUsed();
  idle.resume();
  await eventually(() => expect(idle.closed).toBe(true));
});

it('a caller that does not close its connection after the last answer is disconnected after 1 s', async () => {
  const { open, connectionCount } = await startBounded();
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const socket = await open('not HTTP\r\n\r\n', true);
  socket.resume();
  await once(socket, 'end');
  vi.advanceTimersByTime(999);
  await new Promise(setImmediate);
  expect(await connectionCount()).toBe(1);
  vi.advanceTimersByTime(1);
  await eventually(async () => expect(await connectionCount()).toBe(0));
});
