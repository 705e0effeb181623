import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkQueue, SessionCache } from '../../../src/session/session-cache.ts';
import { subjectId } from '../../../src/token/subject.ts';
import { brokerParts, SILENCE } from '../../support/broker-parts.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { TestClock } from '../../support/test-clock.ts';
import { type AppSettings, principal, startApp } from './running-app.ts';

/** Without Fastify, and with it. */
const PATHS = ['/sdk-token?uniqueId=phone', '/sdk-token?uniqueId=phone&regRegion=DE'] as const;
const PHONE = { app: 'default', unionId: 'alice', uniqueId: 'phone' };

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

/** The public app with a real broker and a session cache. The bearer token of a session is the unionId. */
async function startWhole(path: string, settings: AppSettings = {}) {
  const clock = new TestClock();
  const { observer, told } = recordingObserver();
  const { broker, accounts, renewInBackground } = brokerParts({ clock, observer });
  const expiresAt = clock.now() + 86_400_000;
  const verify = (session: string) => principal({ unionId: session, region: 'DE', issuedAt: clock.now(), expiresAt });
  const cache = {
    cacheSeconds: 30,
    refusalMs: 0,
    schedule: checkQueue(clock),
    isCheckLocal: false,
    maxBytes: 2 ** 20,
    clock,
    observer,
    announcements: SILENCE,
  };
  const sessions = new SessionCache({ verify }, cache);
  const { origin, raw } = await startApp({ tokens: broker, accounts, sessions, observer, ...settings });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const ask = async (headers: Record<string, string> = {}, asked = path): Promise<Answer> => {
    const sent = { authorization: 'Bearer alice', ...headers };
    const [incoming] = (await once(request(origin + asked, { agent, headers: sent }).end(), 'response')) as [
      IncomingMessage,
    ];
    return { status: incoming.statusCode ?? 0, headers: incoming.rawHeaders, body: await text(incoming) };
  };
  /** Sends several reads in one write. @returns the answers, once the server has closed the connection */
  const askAtOnce = (ids: readonly string[], session = 'alice'): Promise<string> => {
    const head = `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${session}\r\n`;
    const ends = ids.map(
      (id, at) => `X-Request-Id: ${id}\r\n${at + 1 < ids.length ? '' : 'Connection: close\r\n'}\r\n`,
    );
    return raw(ends.map((end) => head + end).join(''));
  };
  return { ask, askAtOnce, clock, accounts, renewInBackground, told };
}

/** An answer without the headers that differ in every answer. */
function comparable(answer: Answer): object {
  return { ...answer, headers: pairsOf(answer) };
}

function pairsOf({ headers }: Answer): string[][] {
  const pairs = headers.flatMap((name, index) =>
    index % 2 === 0 ? [[name.toLowerCase(), headers[index + 1] ?? '']] : [],
  );
  return pairs.filter(([name]) => name !== 'date' && name !== 'x-request-id');
}

function headerOf({ headers }: Answer, name: string): string | undefined {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name);
  return at < 0 ? undefined : headers[at + 1];
}

describe.each(PATHS)('a repeated read of %s', (path) => {
  it('gets the same status, headers and body as the first one, with a request id of its own', async () => {
    const { ask } = await startWhole(path);
    const first = await ask();
    expect(first.status).toBe(200);
    const again = [await ask(), await ask(), await ask({ 'x-request-id': 'mine' })];
    for (const answer of again) expect(comparable(answer)).toEqual(comparable(first));
    const ids = [first, ...again].map((answer) => headerOf(answer, 'x-request-id'));
    expect(new Set(ids).size).toBe(4);
    expect(ids[3]).toBe('mine');
  });

  it('is counted: as a cached session, a read from memory, and a request of the account', async () => {
    const { ask, told } = await startWhole(path, { readsPerMinute: 4 });
    for (let i = 0; i < 4; i++) expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'rate_limited' });
    expect(told('sessionChecked')).toEqual([['accepted'], ['cached'], ['cached'], ['cached'], ['cached']]);
    expect(told('tokenServed').map(([outcome]) => outcome)).toEqual(['login', 'memory', 'memory', 'memory']);
    expect(told('rateLimited')).toEqual([['requests']]);
  });

  it('gets a new token after a logout', async () => {
    const { ask, accounts } = await startWhole(path);
    const first = await ask();
    expect((await ask()).body).toBe(first.body);
    await accounts.logOut(PHONE, { sessionIssuedAt: undefined });
    const second = await ask();
    expect(second.body).not.toBe(first.body);
    expect(comparable(await ask())).toEqual(comparable(second));
  });

  it('gets the renewed token after a background renewal', async () => {
    const { ask, renewInBackground } = await startWhole(path);
    await ask();
    const before = await ask();
    const { record } = await renewInBackground(subjectId(PHONE));
    const after = await ask();
    expect(after.body).toBe(JSON.stringify(record.token.fields));
    expect(after.body).not.toBe(before.body);
  });

  it('is refused when the account was erased after the session was issued', async () => {
    const { ask, clock, accounts } = await startWhole(path);
    for (let i = 0; i < 2; i++) expect((await ask()).status).toBe(200);
    clock.advance(1);
    await accounts.erase('alice');
    expect(JSON.parse((await ask()).body)).toMatchObject({ code: 'session_invalid' });
  });

  it('gets its answers in order if it is sent twice at once, and none with a third one', async () => {
    const { ask, askAtOnce } = await startWhole(path);
    await ask();
    const answers = await askAtOnce(['first', 'second']);
    expect(answers.match(/HTTP\/1\.1 200 |x-request-id: \w+/gi)).toEqual([
      'HTTP/1.1 200 ',
      'x-request-id: first',
      'HTTP/1.1 200 ',
      'x-request-id: second',
    ]);
    expect(await askAtOnce(['first', 'second', 'third'])).toBe('');
    expect(await askAtOnce(['first', 'second', 'third'], 'a,b')).toBe('');
  });
});

it('is answered with the same headers, in any order, and body with and without Fastify', async () => {
  const { ask } = await startWhole(PATHS[0]);
  const sorted = (answer: Answer) => ({ ...answer, headers: pairsOf(answer).sort() });
  const [direct, routed] = [await ask(), await ask({}, PATHS[1])];
  expect(sorted(direct)).toEqual(sorted(routed));
});

it('has one answer under the single policy, with and without Fastify, whatever uniqueId is sent', async () => {
  const { ask, told } = await startWhole(PATHS[0], { terminalPolicy: 'single' });
  const sorted = (answer: Answer) => ({ ...answer, headers: pairsOf(answer).sort() });
  const first = sorted(await ask());
  for (const query of ['', '?uniqueId=tablet', '?uniqueId=%20', '?uniqueId=a&uniqueId=b', '?uniqueId=phone']) {
    expect(sorted(await ask({}, `/sdk-token${query}`)), query).toEqual(first);
  }
  expect(told('tokenServed').map(([outcome]) => outcome)).toEqual(['login', ...Array(5).fill('memory')]);
});
