import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { getTokenAt } from '../support/broker-process.ts';
import { readFile } from '../support/documents.ts';
import { eventually } from '../support/eventually.ts';
import { startFleet, startServices } from '../support/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { durationsDuring, expectPrompt, isMeasured } from '../support/honest-reads.ts';
import { listening } from '../support/listening.ts';
import { NGINX, startNginx } from '../support/nginx.ts';
import { plainRequest } from '../support/plain-request.ts';
import { introspectionAt } from '../unit/session/recording-server.ts';
import { startFlood } from './flood.ts';

const MADE_UP = 600;
/** They arrive within this time. */
const ARRIVAL_MS = 2_000;
/** src/session/session-server.ts */
const MAX_IN_FLIGHT = 64;
const RESERVED_FOR_KNOWN = 16;
const KNOWN = Array.from({ length: 20 }, (_, number) => `known-${number}`);
/** How long the session server takes for a made-up session. It knows the others at once. */
const SEARCH_MS = 600;
/** After that, no session of {@link askingAt} is accepted without a new answer. */
const STALE_MS = 2_100;

interface SessionServer {
  readonly url: string;
  questions: number;
  connections: number;
  mostConnections: number;
}

/** A session server that counts its connections and questions. */
async function startSessionServer(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<SessionServer> {
  const server = createServer(async (request, response) => {
    counts.questions += 1;
    await answer(request, response);
  });
  const counts = { url: '', questions: 0, connections: 0, mostConnections: 0 };
  server.on('connection', (socket) => {
    counts.connections += 1;
    counts.mostConnections = Math.max(counts.mostConnections, counts.connections);
    socket.once('close', () => {
      counts.connections -= 1;
    });
  });
  counts.url = (await listening(server)).url;
  return counts;
}

/** Known sessions are checked again and again during the attack. It lasts longer than a stale session is accepted. */
const askingAt = (url: string) => ({ ...introspectionAt(url), SESSION_CACHE_SECONDS: '1' });

async function tokenIn(request: IncomingMessage): Promise<string> {
  return new URLSearchParams(await text(request)).get('token') ?? '';
}

test('600 made-up sessions in 2 s: few connections to the session server, and known sessions do not notice', async () => {
  const server = await startSessionServer(async (request, response) => {
    const token = await tokenIn(request);
    const answer = token.startsWith('known-') ? { active: true, sub: token, region: 'DE' } : { active: false };
    if (!answer.active) await sleep(SEARCH_MS);
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
  const fleet = await startFleet({ replicas: 1, env: askingAt(server.url) });
  const broker = fleet.broker(0);
  expect(broker.log().join()).toContain('SESSION_INTROSPECTION_AUDIENCE and SESSION_INTROSPECTION_SCOPE are not set');
  for (const session of KNOWN) expect((await broker.getToken(session, 'phone')).status).toBe(200);

  const askWithMadeUp = async (_: unknown, number: number) => {
    await sleep((number / MADE_UP) * ARRIVAL_MS);
    const { headers, body } = await broker.getToken(`made-up-${number}`, 'phone');
    return [JSON.parse(body).code, headers['retry-after']];
  };
  const durationsMs = await durationsDuring(broker, KNOWN, async () => {
    const answers = await Promise.all(Array.from({ length: MADE_UP }, askWithMadeUp));
    expect(answers.filter(([code, retryAfter]) => code !== 'session_invalid' && retryAfter === undefined)).toEqual([]);
  });
  expectPrompt(durationsMs);
  expect(server.mostConnections).toBeLessThanOrEqual(MAX_IN_FLIGHT);
  // The next newcomer is served.
  expect((await broker.getToken('known-newcomer', 'phone')).status).toBe(200);
});

test('known sessions are checked while made-up ones that get no answer hold all other places', async () => {
  let held = 0;
  const server = await startSessionServer(async (request, response) => {
    const sub = await tokenIn(request);
    if (sub.startsWith('known-')) return void response.end(JSON.stringify({ active: true, sub, region: 'DE' }));
    held += 1;
    await once(response, 'close');
    held -= 1;
  });
  const fleet = await startServices({ replicas: 1, env: askingAt(server.url) });
  const broker = fleet.broker(0);
  const read = async (session: string) => (await broker.getToken(session, 'phone')).status;
  for (const session of KNOWN) expect(await read(session)).toBe(200);
  await sleep(STALE_MS);
  let isOver = false;
  const refused = new Set<number>();
  const attack = async (_: unknown, number: number) => {
    for (let turn = 0; !isOver; turn += 1) refused.add(await read(`made-up-${number}-${turn}`));
  };
  const attacks = Array.from({ length: 3 * MAX_IN_FLIGHT }, attack);
  await eventually(() => expect(held).toBe(MAX_IN_FLIGHT - RESERVED_FOR_KNOWN));
  for (const session of KNOWN) expect(await read(session)).toBe(200);
  isOver = true;
  await Promise.all(attacks);
  expect([...refused]).toEqual([503]);
});

test('junk cookies beside a valid one are no new question, and displace nobody', async () => {
  const server = await startSessionServer(async ({ headers: { cookie = '' } }, response) => {
    const [, sub] = /^sid=(known-\d+)$/.exec(cookie) ?? [];
    if (sub === undefined) response.writeHead(401).end();
    else response.end(JSON.stringify({ sub, region: 'DE' }));
  });
  const env = { SESSION_MODE: 'forward', SESSION_FORWARD_URL: server.url, SESSION_FORWARD_COOKIES: 'sid' };
  const fleet = await startServices({ replicas: 1, env });
  const { url } = fleet.broker(0);
  const read = async (cookie: string) => {
    const { status } = await plainRequest(`${url}/sdk-token?uniqueId=phone`, { headers: { cookie } });
    return status;
  };
  for (const session of KNOWN) expect(await read(`sid=${session}`)).toBe(200);
  expect(server.questions).toBe(KNOWN.length);

  const junk = 'j'.repeat(8_000);
  const variants = Array.from({ length: 200 }, (_, number) => [
    read(`junk-${number}=1; sid=${KNOWN[0]}`),
    read(`sid=${KNOWN[0]}; sid=${number}; big=${junk}${number}`),
  ]);
  expect(new Set(await Promise.all(variants.flat()))).toEqual(new Set([200]));
  for (const session of KNOWN) expect(await read(`sid=${session}`)).toBe(200);
  expect(server.questions).toBe(KNOWN.length);
});

/** Each made-up session takes the session server this long, so it answers 160 a second. */
const SLOW_SEARCH_MS = 300;
const NEWCOMERS = 50;

test.skipIf(!NGINX)(
  'behind the nginx.conf of the page, a flood from one address keeps out no newcomer of others',
  {
    timeout: 120_000,
  },
  async () => {
    const server = await startSessionServer(async (request, response) => {
      const sub = await tokenIn(request);
      const answer = sub.startsWith('newcomer-') ? { active: true, sub, region: 'DE' } : { active: false };
      if (!answer.active) await sleep(SLOW_SEARCH_MS);
      response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
    });
    const fleet = await startFleet({ replicas: 1, env: introspectionAt(server.url) });
    const { url, getToken } = fleet.broker(0);
    const port = await freePort();
    const config = readFile('deploy/compose/nginx.conf')
      .replace('listen 443 ssl', `listen 127.0.0.1:${port}`)
      .replaceAll(/^ *ssl_.*$/gm, '')
      .replaceAll(/127\.0\.0\.1:808[01] /g, `${new URL(url).host} `);
    startNginx(config);
    const proxy = `http://127.0.0.1:${port}`;
    await eventually(async () => expect((await plainRequest(`${proxy}/livez`)).status).toBe(200));
    const servedAt = async (target: string) => {
      const request = (number: number) =>
        `GET /sdk-token?uniqueId=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer made-up-${number}\r\n\r\n`;
      const flood = await startFlood(target, { held: 200, perSecond: 1_000, request, localAddress: '127.0.0.2' });
      const read = target === url ? getToken : getTokenAt(target);
      const statuses: number[] = [];
      for (let number = 0; number < NEWCOMERS; number += 1) {
        statuses.push((await read(`newcomer-${flood.opened()}`, 'phone')).status);
        await sleep(50);
      }
      flood.stop();
      const served = statuses.filter((status) => status === 200).length;
      if (isMeasured) process.stdout.write(`${served} of ${NEWCOMERS} newcomers served, flooded at ${target}\n`);
      return served;
    };
    expect(await servedAt(proxy)).toBe(NEWCOMERS);
    if (isMeasured) await servedAt(url);
  },
);
