// The cases of clients/cases.md, played by the installed npm package against a real broker, in Node.js and in Chromium.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { SdkToken, SdkTokenClientOptions, TokenClient } from '../../clients/javascript/src/index.js';
import { REPOSITORY } from '../../docs/site/documents.ts';
import { startChromium } from '../support/browser.ts';
import { deferred } from '../support/deferred.ts';
import { eventually } from '../support/eventually.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { inNode, inPage, installPackage, servedFile } from './javascript-package.ts';
import { answer, heldAnswer, PhoneNetwork, silence } from './phone-network.ts';

let fleet: Fleet;
let browser: Browser;
let app: string;
let users = 0;

beforeAll(async () => {
  app = installPackage();
  [fleet, browser] = await Promise.all([startFleet({ replicas: 1 }), startChromium()]);
});

afterAll(async () => {
  await Promise.all([fleet?.close(), browser?.close()]);
  rmSync(app, { recursive: true, force: true });
});

const SESSION_NEEDED = (code: string) => ({ kind: 'SESSION_NEEDED', code });
const UNEXPECTED_ANSWER = { kind: 'UNEXPECTED_ANSWER', code: 'unexpected_answer' };
const LOGGED_OUT = { kind: 'LOGGED_OUT', code: 'logged_out' };
const TIMEOUT = { kind: 'NETWORK', code: 'network_timeout' };
const NO_NETWORK = { kind: 'NETWORK', code: 'network_unavailable' };
const BUSY = { code: 'store_unavailable', retryable: true };

/** A phone with its network, its storage and its own login, which tests change. */
async function openPhone(runtime: 'Node.js' | 'Chromium') {
  const network = new PhoneNetwork(fleet.broker(0).url, (name) => servedFile(app, name));
  await network.connect();
  const page = runtime === 'Chromium' ? await browser.newPage() : undefined;
  await page?.goto(`${network.url}/app`);
  onTestFinished(async () => {
    await page?.close();
    await network.disconnect();
  });
  const open = page ? await inPage(page) : await inNode(app);
  const stored = new Map<string, string>();
  const user = `user-${++users}`;
  const uniqueId = `phone-${users}`;
  const refused: string[] = [];
  const phone = {
    network,
    stored,
    user,
    uniqueId,
    /** The sessions that the client has asked another one for. */
    refused,
    session: (): string | Promise<string> => fleet.session(user),
    renew: (): string | Promise<string> => fleet.session(user),
    client: (options: Partial<SdkTokenClientOptions> = {}): Promise<TokenClient> =>
      open(
        { broker: network.url, uniqueId, ...options },
        {
          session: () => phone.session(),
          renewedSession: (session) => {
            refused.push(session);
            return phone.renew();
          },
          get: (key) => stored.get(key),
          set: (key, value) => void stored.set(key, value),
          remove: (key) => void stored.delete(key),
        },
      ),
    /** What the broker gives to the app's cloud for its own login answer. */
    async tokenOfLogin(name = user) {
      const { body, headers } = await fleet.broker(0).getToken(await fleet.session(name), uniqueId);
      return { token: JSON.parse(body) as SdkToken, etag: `${headers['etag']}` };
    },
  };
  return phone;
}

const isLive = ({ accessToken }: SdkToken) => fleet.vendor.checkToken(accessToken).live;

async function secondsOf(call: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await call();
  return (performance.now() - startedAt) / 1_000;
}

function named(name: string): Error {
  return Object.assign(new Error('from the app'), { name });
}

describe.each(['Node.js', 'Chromium'] as const)('in %s', (runtime) => {
  test('session-renewed', async () => {
    const phone = await openPhone(runtime);
    phone.session = () => 'ended';
    expect(isLive(await (await phone.client()).sdkToken('a'))).toBe(true);
    expect(phone.refused).toEqual(['ended']);
    expect(phone.network.seen.map(({ status }) => status)).toEqual([401, 200]);
  });

  test.each([
    ['the broker', []],
    ['a gateway', [answer(401, '<h1>No</h1>'), answer(401, { error: 'no', retryable: true })]],
  ])('session-refused-twice, by %s', async (_, answers) => {
    const phone = await openPhone(runtime);
    phone.session = phone.renew = () => 'ended';
    phone.network.next = [...answers];
    await expect((await phone.client()).sdkToken('a')).rejects.toMatchObject(SESSION_NEEDED('session_invalid'));
    expect(phone.network.seen).toHaveLength(2);
  });

  test.each([
    ['no-session', 'NoSession', SESSION_NEEDED('session_unavailable')],
    ['source-fails', 'HttpException', { kind: 'TEMPORARY', code: 'session_unavailable', details: { retryable: true } }],
    ['source-without-network', 'TypeError', NO_NETWORK],
  ])('%s', async (_, thrown, expected) => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const fail = () => Promise.reject(thrown === 'TypeError' ? new TypeError() : named(thrown));
    phone.session = fail;
    await expect(client.sdkToken('a')).rejects.toMatchObject(expected);
    expect(phone.network.seen).toHaveLength(0);
    phone.session = () => 'ended';
    phone.renew = fail;
    await expect(client.sdkToken('a')).rejects.toMatchObject(expected);
    expect(phone.network.seen).toHaveLength(1);
  });

  test.each([
    ['renewal-outlives-deadline', 'deadline'],
    ['renewal-outlives-caller', 'caller'],
    ['renewal-outlives-logout', 'logout'],
  ])('%s', async (_, what) => {
    const phone = await openPhone(runtime);
    const client = await phone.client(what === 'deadline' ? { deadlineMs: 800 } : {});
    const [begun, mayEnd] = [deferred(), deferred()];
    // The app never stores the new session itself.
    phone.session = () => 'ended';
    phone.renew = async () => {
      begun.resolve();
      await mayEnd.promise;
      return fleet.session(phone.user);
    };
    const first = client.sdkToken('a');
    first.catch(() => undefined);
    await begun.promise;
    if (what === 'deadline') await expect(first).rejects.toMatchObject(TIMEOUT);
    // A promise cannot be cancelled. A caller stops waiting for it.
    if (what === 'caller') await Promise.race([first, sleep(100)]);
    if (what === 'logout') {
      expect(await client.logout()).toBe(false);
      await expect(first).rejects.toMatchObject(LOGGED_OUT);
    }
    const second = client.sdkToken('a');
    mayEnd.resolve();
    expect(isLive(await second)).toBe(true);
    expect(phone.refused).toEqual(['ended']);
  });

  test('one-renewal: two requests that are refused with the same session ask for one', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const mayEnd = deferred();
    phone.session = () => 'ended';
    phone.renew = async () => {
      await mayEnd.promise;
      return fleet.session(phone.user);
    };
    const first = client.sdkToken('a');
    await eventually(() => phone.refused.length === 1);
    const second = client.sdkToken('b');
    await expect(first).rejects.toMatchObject(LOGGED_OUT);
    await eventually(() => phone.network.seen.filter(({ status }) => status === 401).length === 2);
    mayEnd.resolve();
    expect(isLive(await second)).toBe(true);
    expect(phone.refused).toEqual(['ended']);
  });

  test('newer-session-known', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    phone.session = () => 'ended';
    const token = await client.sdkToken('a');
    expect(await client.sdkToken('a')).toEqual(token);
    expect(phone.network.seen.map(({ status }) => status)).toEqual([401, 200, 401, 304]);
    expect(phone.refused).toEqual(['ended']);
    // The newest session ends, too.
    const gone = answer(401, { code: 'session_expired' });
    phone.network.next = [gone, gone];
    expect(await client.sdkToken('a')).toEqual(token);
    expect(phone.refused).toEqual(['ended', expect.stringMatching(/^(?!ended$)/)]);
  });

  test('session-unsendable', async () => {
    const phone = await openPhone(runtime);
    phone.session = () => 'secret\nX-Other: 1';
    const error = await (await phone.client()).sdkToken('a').catch((thrown: Error) => thrown);
    expect(error).toMatchObject(SESSION_NEEDED('session_invalid'));
    expect(String(error)).not.toContain('secret');
    expect(phone.network.seen).toHaveLength(0);
  });

  test('first-token', async () => {
    const phone = await openPhone(runtime);
    const token = await (await phone.client()).sdkToken('a');
    expect(isLive(token)).toBe(true);
    expect(Object.keys(token).sort()).toEqual(['accessId', 'accessToken', 'expend', 'expireTime', 'terminalId']);
    expect(fleet.vendor.loginsOf(phone.user, phone.uniqueId)).toBe(1);
  });

  test('token-unchanged', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const token = await client.sdkToken('a');
    expect(await client.sdkToken('a')).toEqual(token);
    expect(await (await phone.client()).sdkToken('a')).toEqual(token);
    expect(phone.network.seen.map(({ status }) => status)).toEqual([200, 304, 304]);
  });

  test('callers-share-request', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const mayEnd = deferred();
    phone.network.next = [heldAnswer(mayEnd.promise)];
    const calls = [client.sdkToken('a'), client.sdkToken('a'), client.sdkToken('a')];
    // The first caller stops waiting.
    await Promise.race([calls[0], sleep(100)]);
    mayEnd.resolve();
    const [, second, third] = await Promise.all(calls);
    expect(second).toEqual(third);
    expect(phone.network.seen).toHaveLength(1);
  });

  test.each([
    ['refused-token', false],
    ['refusal-after-restart', true],
  ])('%s', async (_, restarts) => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const token = await client.sdkToken('a');
    await client.tokenWasRefused();
    const later = restarts ? await phone.client() : client;
    const other = await later.sdkToken('a');
    expect(other.accessToken).not.toBe(token.accessToken);
    expect(await later.sdkToken('a')).toEqual(other);
    expect(phone.network.seen.map(({ url }) => url.includes('&refused='))).toEqual([false, true, false]);
  });

  test('refused-during-request', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const token = await client.sdkToken('a');
    const mayEnd = deferred();
    phone.network.next = [heldAnswer(mayEnd.promise)];
    const asked = client.sdkToken('a');
    await eventually(() => phone.network.seen[1]?.status === 304);
    await client.tokenWasRefused();
    mayEnd.resolve();
    expect((await asked).accessToken).not.toBe(token.accessToken);
    expect(phone.network.seen).toHaveLength(3);
  });

  test('handed-in-token', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const { token, etag } = await phone.tokenOfLogin();
    await client.useToken('a', token, etag);
    expect((await client.sdkToken('a')).accessToken).toBe(token.accessToken);
    expect(phone.network.seen).toHaveLength(0);
    expect((await client.sdkToken('a')).accessToken).toBe(token.accessToken);
    expect(phone.network.seen.map(({ status }) => status)).toEqual([304]);
    await client.useToken('a', { ...token, accessToken: 'old', expireTime: '1' });
    expect((await client.sdkToken('a')).accessToken).toBe(token.accessToken);
    await expect(client.useToken('a', { accessToken: 'secret' })).rejects.toMatchObject(UNEXPECTED_ANSWER);
    expect(phone.stored.size).toBe(0);
    // Without an ETag it cannot be reported. The next answer has one.
    await client.useToken('a', token);
    await client.sdkToken('a');
    await client.tokenWasRefused();
    expect((await client.sdkToken('a')).accessToken).not.toBe(token.accessToken);
  });

  test('other-user-during-request', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const mayEnd = deferred();
    phone.network.next = [heldAnswer(mayEnd.promise)];
    const first = client.sdkToken('a');
    first.catch(() => undefined);
    await eventually(() => phone.network.seen[0]?.status === 200);
    phone.session = () => fleet.session(`${phone.user}-b`);
    const second = await client.sdkToken('b');
    await expect(first).rejects.toMatchObject(LOGGED_OUT);
    mayEnd.resolve();
    await sleep(100);
    expect(second.accessToken).toBe((await phone.tokenOfLogin(`${phone.user}-b`)).token.accessToken);
    expect([...phone.stored.values()].join()).toContain(second.accessToken);
  });

  test('other-user-stored', async () => {
    const phone = await openPhone(runtime);
    const first = await (await phone.client()).sdkToken('a');
    const client = await phone.client();
    phone.session = () => Promise.reject(named('HttpException'));
    await expect(client.sdkToken('b')).rejects.toThrow();
    expect(phone.stored.size).toBe(0);
    phone.session = () => fleet.session(`${phone.user}-b`);
    expect((await client.sdkToken('b')).accessId).not.toBe(first.accessId);
    expect(phone.network.seen[1]?.headers['if-none-match']).toBeUndefined();
  });

  test.each(['{"token":', '{"userId":"a","token":{"accessToken":1}}', '7'])('damaged-storage: %s', async (value) => {
    const phone = await openPhone(runtime);
    phone.stored.set('sdk-token', value);
    expect(isLive(await (await phone.client()).sdkToken('a'))).toBe(true);
  });

  test('logout', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const token = await client.sdkToken('a');
    // The source may belong to nobody already.
    phone.session = () => Promise.reject(named('NoSession'));
    expect(await client.logout()).toBe(true);
    expect(phone.stored.size).toBe(0);
    expect(phone.network.requests('DELETE').map(({ status }) => status)).toEqual([204]);
    expect((await phone.tokenOfLogin()).token.accessToken).not.toBe(token.accessToken);
  });

  test.each([
    ['without a network', undefined],
    ['401', answer(401, { code: 'session_expired' })],
    ['503', answer(503, BUSY, { 'retry-after': '1' })],
    ['no answer', silence],
  ])('logout-unconfirmed: %s', async (_, play) => {
    const phone = await openPhone(runtime);
    const client = await phone.client({ attemptTimeoutMs: 1_000 });
    await client.sdkToken('a');
    if (play) phone.network.next = [play];
    else await phone.network.disconnect();
    expect(await secondsOf(async () => expect(await client.logout()).toBe(false))).toBeLessThan(5);
    expect(phone.stored.size).toBe(0);
    if (!play) await phone.network.connect();
    // After a restart, nothing is repeated.
    expect(isLive(await (await phone.client()).sdkToken('a'))).toBe(true);
    expect(phone.network.requests('DELETE')).toHaveLength(play ? 1 : 0);
    expect(phone.refused).toEqual([]);
  });

  test('logout-during-request', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const mayEnd = deferred();
    phone.network.next = [heldAnswer(mayEnd.promise)];
    const asked = client.sdkToken('a');
    asked.catch(() => undefined);
    await eventually(() => phone.network.seen[0]?.status === 200);
    expect(await client.logout()).toBe(true);
    await expect(asked).rejects.toMatchObject(LOGGED_OUT);
    mayEnd.resolve();
    await sleep(100);
    expect(phone.stored.size).toBe(0);
  });

  test('login-after-logout', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client({ attemptTimeoutMs: 2_000 });
    await client.sdkToken('a');
    const mayEnd = deferred();
    phone.network.next = [heldAnswer(mayEnd.promise), silence];
    const loggedOut = client.logout();
    const token = client.sdkToken('a');
    await sleep(300);
    expect(phone.network.requests()).toHaveLength(1);
    phone.network.next = [];
    mayEnd.resolve();
    expect(await loggedOut).toBe(true);
    expect(isLive(await token)).toBe(true);
    phone.network.next = [silence];
    const neverAnswered = client.logout();
    const seconds = await secondsOf(async () => expect(isLive(await client.sdkToken('b'))).toBe(true));
    expect(seconds).toBeGreaterThan(1.5);
    expect(await neverAnswered).toBe(false);
  });

  test.each([
    ['seconds', () => '2'],
    // A date has no milliseconds.
    ['a date', () => new Date(Date.now() + 3_000).toUTCString()],
  ])('retry-after, as %s', async (_, header) => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const seconds = await secondsOf(() => {
      phone.network.next = [answer(503, BUSY, { 'retry-after': header() })];
      return client.sdkToken('a');
    });
    expect(seconds).toBeGreaterThan(1.9);
    expect(phone.network.seen).toHaveLength(2);
  });

  test('retry-after-unusable', async () => {
    const phone = await openPhone(runtime);
    phone.network.next = ['0', 'Sun, 06 Nov 1994 08:49:37 GMT', 'soon'].map((header) =>
      answer(503, BUSY, { 'retry-after': header }),
    );
    const client = await phone.client();
    // Half of 1 s, 2 s and 4 s.
    expect(await secondsOf(() => client.sdkToken('a'))).toBeGreaterThan(3.4);
    expect(phone.network.seen).toHaveLength(4);
  });

  test('wait-beyond-deadline', async () => {
    const phone = await openPhone(runtime);
    phone.network.next = [answer(429, { code: 'rate_limited', retryable: true }, { 'retry-after': '31' })];
    const expected = { kind: 'RATE_LIMITED', code: 'rate_limited', details: { status: 429, retryAfter: 31 } };
    const call = async () => expect((await phone.client()).sdkToken('a')).rejects.toMatchObject(expected);
    expect(await secondsOf(call)).toBeLessThan(10);
  });

  test('not-retryable', async () => {
    const phone = await openPhone(runtime);
    phone.network.next = [
      answer(403, { code: 'account_disabled', retryable: false, detail: 'closed', requestId: '7' }),
    ];
    const refused = { kind: 'FORBIDDEN', code: 'account_disabled', message: 'account_disabled, closed, request 7' };
    await expect((await phone.client()).sdkToken('a')).rejects.toMatchObject(refused);
    const wrong = { kind: 'INVALID_REQUEST', code: 'request_invalid', details: { status: 400 } };
    await expect((await phone.client({ app: 'no/app' })).sdkToken('a')).rejects.toMatchObject(wrong);
    expect(phone.network.seen).toHaveLength(2);
  });

  test('attempt-timeout', async () => {
    const phone = await openPhone(runtime);
    phone.network.next = [silence];
    expect(isLive(await (await phone.client({ attemptTimeoutMs: 1_000 })).sdkToken('a'))).toBe(true);
    expect(phone.network.seen).toHaveLength(2);
    await eventually(() => phone.network.abandoned === 1);
    phone.network.next = [silence, silence, silence];
    const client = await phone.client({ attemptTimeoutMs: 700, deadlineMs: 1_500 });
    await expect(client.sdkToken('a')).rejects.toMatchObject(TIMEOUT);
  });

  test('no-network', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    await phone.network.disconnect();
    const call = async () => expect(client.sdkToken('a')).rejects.toMatchObject(NO_NETWORK);
    expect(await secondsOf(call)).toBeLessThan(5);
    await phone.network.connect();
    expect(isLive(await client.sdkToken('a'))).toBe(true);
  });

  test.each([502, 503, 504])('no-replica: %i', async (status) => {
    const phone = await openPhone(runtime);
    phone.network.next = [answer(status, '<h1>No replica</h1>')];
    expect(isLive(await (await phone.client()).sdkToken('a'))).toBe(true);
    expect(phone.network.seen).toHaveLength(2);
  });

  test.each([
    ['a page', answer(200, '<h1>Log in to this Wi-Fi</h1>')],
    ['JSON that is no token', answer(200, { accessToken: 'one field' }, { 'content-type': 'application/json' })],
    ['a redirect', answer(302, '', { location: '/elsewhere' })],
  ])('foreign-answer: %s', async (_, play) => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const token = await client.sdkToken('a');
    phone.network.next = [play];
    await expect(client.sdkToken('a')).rejects.toMatchObject(UNEXPECTED_ANSWER);
    expect(phone.network.seen).toHaveLength(2);
    expect(await client.sdkToken('a')).toEqual(token);
  });

  test('answer-too-long', async () => {
    const phone = await openPhone(runtime);
    const client = await phone.client();
    const token = { ...(await phone.tokenOfLogin()).token, more: 'x'.repeat(64 * 1_024) };
    phone.network.next = [answer(200, token)];
    await expect(client.sdkToken('a')).rejects.toMatchObject(UNEXPECTED_ANSWER);
    phone.network.next = [
      async (response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        for (; !response.destroyed; await sleep(5)) response.write('['.repeat(8_192));
      },
    ];
    await expect(client.sdkToken('a')).rejects.toMatchObject(UNEXPECTED_ANSWER);
    await eventually(() => phone.network.abandoned === 1);
  });

  test('no-secrets', async () => {
    const phone = await openPhone(runtime);
    const session = 'the-secret-session';
    phone.session = () => session;
    phone.network.next = [answer(400, { code: 'gateway', detail: `wrong header: Bearer ${session}` })];
    const client = await phone.client();
    const error = await client.sdkToken('a').catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ kind: 'INVALID_REQUEST', code: 'gateway' });
    expect(`${error} ${JSON.stringify(error)}`).not.toContain(session);
    const handedIn = await client.useToken('a', { accessToken: session }).catch((thrown: Error) => thrown);
    expect(`${handedIn} ${JSON.stringify(handedIn)}`).not.toContain(session);
    phone.session = () => fleet.session(phone.user);
    const token = await client.sdkToken('a');
    expect(`${token}`).not.toContain(token.accessToken);
  });

  test('wrong-arguments', async () => {
    const phone = await openPhone(runtime);
    for (const broker of ['broker.example', 'ftp://broker.example', 'https://', 'https://broker.example?a=b'])
      await expect(phone.client({ broker })).rejects.toThrow('broker must be an http or https URL');
    for (const uniqueId of ['', '..', 'a b', 'é', 'x'.repeat(129)])
      await expect(phone.client({ uniqueId })).rejects.toThrow('uniqueId must have 1 to 128 visible ASCII characters');
    for (const ms of [0, -1, 600_001, Number.MAX_SAFE_INTEGER]) {
      await expect(phone.client({ deadlineMs: ms })).rejects.toThrow(
        'deadlineMs must be more than 0 and at most 600000',
      );
      await expect(phone.client({ attemptTimeoutMs: ms })).rejects.toThrow('attemptTimeoutMs must be');
    }
    expect(
      isLive(await (await phone.client({ broker: `${phone.network.url}/`, deadlineMs: 600_000 })).sdkToken('a')),
    ).toBe(true);
  });
});

describe('the package in an app', () => {
  test('fake-in-app-tests: with types that need neither Node.js nor a browser, also for CommonJS', () => {
    const source = `
      import { BrokerError, SdkTokenClient, type TokenClient, type Transport } from 'sdk-token-client';
      const transport: Transport = async ({ method }) => ({ status: 200, headers: {}, text: method });
      const error = new BrokerError('FORBIDDEN', 'terminal_limit', { status: 403 });
      export const fake: TokenClient = {
        sdkToken: () => Promise.reject(error),
        tokenWasRefused: async () => undefined,
        useToken: async () => undefined,
        logout: async () => error.code === 'terminal_limit',
      };
      const sessions = { session: () => 'a', renewedSession: async (refused: string) => refused };
      const storage = { get: () => null, set: () => undefined, remove: () => undefined };
      export const real: TokenClient = new SdkTokenClient({ broker: 'https://b.example', uniqueId: 'p', sessions, storage, transport });
    `;
    for (const extension of ['mts', 'cts']) {
      const file = join(app, `app-test.${extension}`);
      writeFileSync(file, source);
      const options = ['--strict', '--lib', 'ES2017', '--types', '', '--target', 'ES2017', '--module', 'NodeNext'];
      execFileSync(join(REPOSITORY, 'node_modules/.bin/tsc'), [...options, file], { cwd: app, stdio: 'pipe' });
    }
    const run = (code: string) =>
      execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: app, encoding: 'utf8' });
    const forms = run(`
      import * as esm from 'sdk-token-client';
      import { createRequire } from 'node:module';
      import { fake } from './app-test.mjs';
      const cjs = createRequire(process.cwd() + '/')('sdk-token-client');
      const thrown = await fake.sdkToken('a').catch((error) => error.kind);
      console.log(JSON.stringify([Object.keys(esm).sort(), Object.keys(cjs).sort(), thrown, await fake.logout()]));
    `);
    const names = ['BrokerError', 'NoSession', 'SdkTokenClient', 'fetchTransport'];
    expect(JSON.parse(forms)).toEqual([names, names, 'FORBIDDEN', true]);
  });

  test('its code is ES2017 at most: engines of phones know no newer syntax', () => {
    const syntax = /\?\.|\?\?|#\w+[;(= ]|\{ \.\.\.|catch \{|for await|\.finally\(/;
    for (const name of ['broker-error', 'call', 'sdk-token-client', 'session-requests', 'transport'])
      expect(
        servedFile(app, `${name}.js`)
          .toString()
          .replaceAll(/\/\/.*|\/\*[\s\S]*?\*\/|'[^']*'/g, ''),
      ).not.toMatch(syntax);
  });
});
