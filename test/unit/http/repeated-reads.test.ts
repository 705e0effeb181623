import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { subjectId } from '../../../../src/token/subject.ts';
import { brokerParts } from '../../../support/broker-parts.ts';
import { recordingObserver } from '../../../support/recording-observer.ts';
import { TestClock } from '../../../support/test-clock.ts';
import { type AppSettings, principal, startApp } from '../running-app.ts';

const URL_PATH = '/sdk-token?uniqueId=phone&regRegion=DE';
const SESSION_MS = 30_000;
const ALICES_PHONE = subjectId({ app: 'default', unionId: 'alice', uniqueId: 'phone' });

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

/** The public app with a real broker. Counts the requests that reach Fastify. The bearer token of a session is the unionId. */
async function startWatched(settings: AppSettings = {}) {
  const clock = new TestClock();
  const { observer, told } = recordingObserver();
  const { broker, accounts, cache, renewInBackground } = brokerParts({ clock, observer });
  let verified = 0;
  let reachedApp = 0;
  const verify = async (session: string) => {
    verified += 1;
    return principal({ unionId: session, issuedAt: clock.now(), freshUntil: clock.now() + SESSION_MS });
  };
  const { app, origin } = await startApp({
    tokens: broker,
    accounts,
    sessions: { verify },
    clock,
    observer,
    prepare: (prepared) =>
      prepared.addHook('onRequest', async () => {
        reachedApp += 1;
      }),
    ...settings,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const ask = async (headers: Record<string, string> = {}, path = URL_PATH, method = 'GET'): Promise<Answer> => {
    const sent = { authorization: 'Bearer alice', ...headers };
    const [incoming] = (await once(request(origin + path, { agent, method, headers: sent }).end(), 'response')) as [
      IncomingMessage,
    ];
    return { status: incoming.statusCode ?? 0, headers: incoming.rawHeaders, body: await text(incoming) };
  };
  return {
    app,
    ask,
    clock,
    accounts,
    cache,
    renewInBackground,
    told,
    verified: () => verified,
    reachedApp: () => reachedApp,
  };
}

/** An answer without the headers that differ in every answer. */
function comparable({ headers, ...answer }: Answer): object {
  const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), headers[index + 1]]] : []));
  return { ...answer, headers: pairs.filter(([name]) => name !== 'date' && name !== 'x-request-id') };
}

function headerOf({ headers }: Answer, name: string): string | undefined {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name);
  return at < 0 ? undefined : headers[at + 1];
}

describe('a repeated read with the same URL and session', () => {
  it('gets the same answer and headers as from Fastify, without reaching it', async () => {
    const { ask, reachedApp, verified } = await startWatched();
    const [first, second] = [await ask(), await ask()];
    expect(first.status).toBe(200);
    const again = [await ask(), await ask(), await ask({ 'x-request-id': 'mine' })];
    for (const answer of [second, ...again]) expect(comparable(answer)).toEqual(comparable(first));
    expect([reachedApp(), verified()]).toEqual([2, 2]);
    const ids = [first, second, ...again].map((answer) => headerOf(answer, 'x-request-id'));
    expect(new Set(ids).size).toBe(5);
    expect(ids[4]).toBe('mine');
  });

  it('is counted like every other read: as a cached session, a read from memory, a request of the account', async () => {
    const { ask, told } = await startWatched({ readsPerMinute: 4 });
    for (let i = 0; i < 4; i++) expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'rate_limited' });
    expect(told('sessionChecked')).toEqual([['cached'], ['cached']]);
    expect(told('tokenServed').map(([outcome]) => outcome)).toEqual(['login', 'memory', 'memory', 'memory']);
    expect(told('rateLimited')).toEqual([['requests']]);
  });

  it('gets the newest token, not the token of the earlier answer', async () => {
    const { ask, accounts, reachedApp } = await startWatched();
    const first = await ask();
    for (let i = 0; i < 2; i++) expect((await ask()).body).toBe(first.body);
    expect(reachedApp()).toBe(2);
    await accounts.logOut({ app: 'default', unionId: 'alice', uniqueId: 'phone' }, 'app');
    const second = await ask();
    const third = await ask();
    expect(second.body).not.toBe(first.body);
    expect(comparable(third)).toEqual(comparable(second));
    expect(reachedApp()).toBe(3);
  });

  it('gets a renewed token without reaching Fastify', async () => {
    const { ask, renewInBackground, reachedApp } = await startWatched();
    await ask();
    const before = await ask();
    const { record } = await renewInBackground(ALICES_PHONE);
    expect((await ask()).body).toBe(JSON.stringify(record.token.fields));
    expect((await ask()).body).not.toBe(before.body);
    expect(reachedApp()).toBe(2);
  });

  it('is remembered for each of several sessions with the same URL', async () => {
    const { ask, reachedApp } = await startWatched();
    for (let i = 0; i < 4; i++) {
      for (const session of ['alice', 'bob']) await ask({ authorization: `Bearer ${session}` });
    }
    expect(reachedApp()).toBe(4);
  });
});

describe('Fastify answers', () => {
  it('if another session requests the same URL', async () => {
    const { ask } = await startWatched();
    await ask();
    const alices = await ask();
    const bobs = await ask({ authorization: 'Bearer bob' });
    const mine = await ask();
    expect(bobs.body).not.toBe(alices.body);
    expect(mine.body).toBe(alices.body);
  });

  it('when the cached session has expired', async () => {
    const { ask, clock, verified } = await startWatched();
    for (let i = 0; i < 2; i++) await ask();
    clock.advance(SESSION_MS - 1);
    await ask();
    expect(verified()).toBe(2);
    clock.advance(1);
    await ask();
    expect(verified()).toBe(3);
  });

  it('if sessions are not cached', async () => {
    const verifiedAt: number[] = [];
    const clock = new TestClock();
    const verify = async () => {
      verifiedAt.push(clock.now());
      return principal({ unionId: 'alice', freshUntil: clock.now() });
    };
    const { ask } = await startWatched({ sessions: { verify } });
    for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200);
    expect(verifiedAt).toHaveLength(3);
  });

  it('if the token is no longer in memory', async () => {
    const { ask, cache, reachedApp } = await startWatched();
    const first = await ask();
    for (let i = 0; i < 2; i++) await ask();
    expect(reachedApp()).toBe(2);
    cache.forget(ALICES_PHONE);
    expect((await ask()).body).toBe(first.body);
    expect(reachedApp()).toBe(3);
  });

  it('if the account was erased after the session was issued', async () => {
    const { ask, clock, accounts } = await startWatched({ sessions: { verify: async () => erasable } });
    const erasable = principal({ unionId: 'alice', issuedAt: clock.now() });
    for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200);
    clock.advance(1);
    await accounts.erase('alice');
    expect(JSON.parse((await ask()).body)).toMatchObject({ code: 'session_invalid' });
  });

  it('if the request has If-None-Match or another method', async () => {
    const { ask, reachedApp } = await startWatched();
    await ask();
    const etag = headerOf(await ask(), 'etag') ?? '';
    expect((await ask({ 'if-none-match': etag })).status).toBe(304);
    expect((await ask({}, URL_PATH, 'HEAD')).body).toBe('');
    expect((await ask({}, URL_PATH, 'DELETE')).status).toBe(400);
    expect((await ask({}, '/sdk-token?uniqueId=phone', 'DELETE')).status).toBe(204);
    expect(reachedApp()).toBe(6);
  });

  it('if the URL or the session header differs in any byte', async () => {
    const { ask, reachedApp } = await startWatched();
    for (let i = 0; i < 2; i++) await ask();
    await ask({}, '/sdk-token?uniqueId=phone');
    await ask({}, '/sdk-token?regRegion=DE&uniqueId=phone');
    expect((await ask({}, `${URL_PATH}&uniqueId=other`)).status).toBe(400);
    expect((await ask({ authorization: 'bearer alice' })).status).toBe(200);
    expect(reachedApp()).toBe(6);
  });

  it('during shutdown', async () => {
    const closing = new AbortController();
    const { ask } = await startWatched({ closing: closing.signal });
    for (let i = 0; i < 3; i++) await ask();
    closing.abort();
    expect(JSON.parse((await ask()).body)).toMatchObject({ code: 'shutting_down' });
  });

  it('if each request is logged', async () => {
    const { ask, reachedApp } = await startWatched({ logLevel: 'debug' });
    for (let i = 0; i < 4; i++) await ask();
    expect(reachedApp()).toBe(4);
  });
});

describe('a forwarded session', () => {
  it('is recognized by all its headers', async () => {
    const { ask, reachedApp } = await startWatched({
      forwardedSession: { headers: ['Authorization', 'Cookie'], cookies: 'all' },
    });
    for (let i = 0; i < 3; i++) await ask({ cookie: 'id=1' });
    expect(reachedApp()).toBe(2);
    await ask({ cookie: 'id=2' });
    await ask();
    expect(reachedApp()).toBe(4);
  });
});
