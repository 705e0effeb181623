import type { FastifyRequest } from 'fastify';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RefusalLog } from '../../../src/http/refusal-log.ts';
import { BrokerError, type ErrorCode } from '../../../src/token/errors.ts';
import { accountId, subjectId } from '../../../src/token/subject.ts';
import { eventually } from '../../support/eventually.ts';
import { type AppSettings, principal, SESSION, servedToken, startApp, UNION_ID, UNIQUE_ID } from './running-app.ts';
import { startInternalApp } from './running-internal-app.ts';

const ACCOUNT = accountId(UNION_ID);
const SUBJECT = subjectId({ app: 'default', unionId: UNION_ID, uniqueId: UNIQUE_ID });
const CANARIES = /canary/;

const refusing = (code: ErrorCode): AppSettings => ({
  tokens: { read: () => Promise.reject(new BrokerError(code)) },
});

/** Runs the app. `refused` returns the lines about refused requests so far. */
async function refusingApp(settings: AppSettings) {
  const app = await startApp(settings);
  const refused = () => app.log().filter(({ msg }) => msg === 'request refused' || msg === 'request failed');
  return { ...app, refused };
}

const limited: AppSettings = { readsPerMinute: 1 };

describe('a refused request has one line', () => {
  it.each([
    ['terminal_limit', refusing('terminal_limit'), {}, { account: ACCOUNT, subject: SUBJECT, status: 403 }],
    ['account_disabled', refusing('account_disabled'), {}, { account: ACCOUNT, subject: SUBJECT, status: 403 }],
    ['session_invalid', refusing('session_invalid'), {}, { account: ACCOUNT, subject: SUBJECT, status: 401 }],
    [
      'session_invalid',
      {
        sessions: {
          verify: () => Promise.reject(new BrokerError('session_invalid', { detail: 'The key is unknown' })),
        },
      },
      {},
      { status: 401, detail: 'The key is unknown' },
    ],
    ['session_missing', {}, { authorization: '' }, { status: 401 }],
    ['vendor_rejected', refusing('vendor_rejected'), {}, { level: 40, account: ACCOUNT, subject: SUBJECT }],
    ['request_invalid', {}, {}, { account: ACCOUNT, detail: expect.stringContaining('regRegion') }, '&regRegion=UK'],
    ['rate_limited', limited, {}, { account: ACCOUNT, detail: expect.stringContaining('per minute') }],
  ] as const)('at info or above, with %s, the digests that are known, and the cause', async (...row) => {
    const [code, settings, more, expected, query = ''] = row;
    const { origin, refused, log } = await refusingApp(settings);
    const headers = { authorization: `Bearer ${SESSION}`, 'x-request-id': 'quoted-by-the-user', ...more };
    const ask = () => fetch(`${origin}/sdk-token?uniqueId=${UNIQUE_ID}${query}`, { headers });
    if (settings === limited) await ask();
    await ask();
    expect(refused()).toHaveLength(1);
    expect(refused()[0]).toMatchObject({ level: 30, requestId: 'quoted-by-the-user', code, ...expected });
    for (const digest of ['account', 'subject']) expect(digest in expected).toBe(digest in (refused()[0] ?? {}));
    expect(JSON.stringify(log())).not.toMatch(CANARIES);
  });

  it('on the internal API too, unless the token is refused: that has a line of its own', async () => {
    const { ask, log } = await startInternalApp();
    await ask('GET', '/accounts/canary', { headers: { 'x-request-id': 'a-call' } });
    await ask('GET', '/accounts/canary', { headers: { authorization: 'Bearer wrong-canary' } });
    const refused = linesOf(log()).filter(({ msg }) => msg === 'request refused');
    expect(refused).toMatchObject([
      { level: 30, code: 'not_found', requestId: 'a-call', account: accountId('canary') },
    ]);
    expect(log()).not.toMatch(CANARIES);
  });
});

async function startInternalAppWithLog() {
  const started = await startInternalApp();
  return { ...started, log: () => linesOf(started.log()) };
}

function linesOf(text: string): Record<string, unknown>[] {
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

/** The number of requests that these lines stand for. */
function sumOf(lines: readonly { readonly omitted?: unknown }[]): number {
  return lines.reduce((sum, { omitted = 0 }) => sum + 1 + Number(omitted), 0);
}

/** An app in which each request comes from the account that its session names. */
function manyAccounts(isRefused: (unionId: string) => boolean, code: ErrorCode = 'terminal_limit'): AppSettings {
  return {
    sessions: { verify: (session) => principal({ unionId: session }) },
    tokens: {
      read: async ({ subject }) => {
        if (isRefused(subject.unionId)) throw new BrokerError(code);
        return servedToken();
      },
    },
  };
}

describe('a request that is no HTTP', () => {
  it('has one line too, with the id and the detail of its answer, and without its bytes', async () => {
    for (const bytes of ['canary\r\n\r\n', `GET / HTTP/1.1\r\nX-Canary: ${'c'.repeat(20_000)}\r\n\r\n`]) {
      const { raw, refused, log } = await refusingApp({});
      const { requestId, detail } = JSON.parse((await raw(bytes)).split('\r\n\r\n')[1] ?? '');
      expect(refused()).toMatchObject([{ level: 30, requestId, code: 'request_invalid', status: 400, detail }]);
      expect(JSON.stringify(log()).toLowerCase()).not.toMatch(CANARIES);
    }
  });

  it('shares the one line per second of its code, which counts all requests', async () => {
    const { raw, origin, refused } = await refusingApp({});
    await fetch(`${origin}/sdk-token`, { headers: { authorization: 'Bearer x' } });
    for (let request = 0; request < 20; request += 1) await raw('canary\r\n\r\n');
    await eventually(() => sumOf(refused()) === 21);
    expect(refused().length).toBeLessThan(21);
  });
});

it.each(['the public API', 'the internal API'])(
  'the lines of the last second are written when %s closes',
  async (name) => {
    const { origin, app, log } = name === 'the public API' ? await startApp() : await startInternalAppWithLog();
    for (let request = 0; request < 5; request += 1) await fetch(`${origin}/unknown`);
    await app.close();
    expect(sumOf(log().filter(({ msg }) => msg === 'request refused'))).toBe(5);
  },
);

it('no line is lost when a shutdown begins while a request is in progress, and its own line comes at once', async () => {
  const closing = new AbortController();
  const ends: (() => void)[] = [];
  const read = () => new Promise<never>((_, reject) => ends.push(() => reject(new BrokerError('vendor_unavailable'))));
  const { getToken, refused } = await refusingApp({ closing: closing.signal, tokens: { read } });
  const answers = Array.from({ length: 6 }, () => getToken({ authorization: 'Bearer x' }));
  await eventually(() => ends.length === 6);
  for (const end of ends.slice(0, 5)) end();
  await Promise.all(answers.slice(0, 5));
  expect(refused()).toHaveLength(1);
  closing.abort();
  expect(sumOf(refused())).toBe(5);
  ends[5]?.();
  await answers[5];
  expect(sumOf(refused())).toBe(6);
});

/** A log with a clock that the test moves. `refuse` refuses a request of an account. */
function logWithoutTime() {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const lines: { readonly account?: string; readonly omitted?: number }[] = [];
  const write = (fields: object) => void lines.push(fields);
  const refusals = new RefusalLog();
  const refuse = (unionId: string, code: ErrorCode = 'account_disabled') => {
    const caller = { account: accountId(unionId) };
    const request = { id: 'r', log: { info: write, warn: write }, query: {}, caller };
    refusals.add(new BrokerError(code), request as unknown as FastifyRequest);
  };
  return { refusals, refuse, lines };
}

describe('a flood of refused requests', () => {
  it('of one account leaves a line at once and one per second, which count all of them', () => {
    const { refuse, lines } = logWithoutTime();
    for (let request = 0; request < 30; request += 1) refuse('busy');
    refuse('other');
    expect(lines.map(({ account }) => account)).toEqual([accountId('busy'), accountId('other')]);
    vi.advanceTimersByTime(999);
    expect(lines).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(lines).toHaveLength(3);
    expect(lines.at(-1)).toMatchObject({ account: accountId('busy'), omitted: 28 });
  });

  it('of many accounts leaves lines of 20 accounts, and one for all others together', () => {
    const { refuse, lines } = logWithoutTime();
    for (let number = 0; number < 60; number += 1) refuse(`account-${number}`);
    // One of the 20 keeps its own line.
    for (const unionId of ['account-0', 'account-59']) refuse(unionId);
    expect(lines).toHaveLength(21);
    expect(new Set(lines.map(({ account }) => account)).size).toBe(21);
    vi.advanceTimersByTime(1_000);
    expect(lines.slice(21).map(({ account }) => account)).toContain(accountId('account-0'));
    expect(sumOf(lines)).toBe(62);
  });
});

describe('an outage', () => {
  it('leaves lines of 5 accounts, and one for all others together, which count all requests', async () => {
    const { app, getToken, refused } = await refusingApp(manyAccounts(() => true, 'vendor_unavailable'));
    const accounts = Array.from({ length: 60 }, (_, number) => `account-${number}`);
    await Promise.all(accounts.map((unionId) => getToken({ authorization: `Bearer ${unionId}` })));
    const atOnce = refused();
    expect(atOnce).toHaveLength(6);
    expect(new Set(atOnce.map(({ account }) => account)).size).toBe(6);
    await app.close();
    expect(refused()).toHaveLength(7);
    expect(sumOf(refused())).toBe(60);
    expect(refused().at(-1)).toMatchObject({ level: 40, omitted: 53, happenedAt: expect.any(String) });
  });

  it('of the vendor and of Redis leaves at most 48 lines a minute, however many requests fail', () => {
    const { refusals, refuse, lines } = logWithoutTime();
    for (let number = 0; number < 6_000; number += 1) {
      refuse(`account-${number % 1_000}`, number % 3 === 0 ? 'store_unavailable' : 'vendor_unavailable');
      vi.advanceTimersByTime(10);
    }
    expect(lines.length).toBeLessThanOrEqual(48);
    refusals.end();
    expect(sumOf(lines)).toBe(6_000);
  });
});
