import { createCipheriv, createDecipheriv, createECDH, hkdfSync, randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { consoleSessions } from '../../../../src/http/console-sessions.ts';
import { plainRequest } from '../../../support/plain-request.ts';
import { ADMIN_TOKEN, recordingAccounts, STATUS, startInternalApp } from '../running-internal-app.ts';

const MINUTE_MS = 60_000;
const STATUS_CALL = { method: 'GET', path: 'status' };
const SIGN_IN = { ...STATUS_CALL, token: ADMIN_TOKEN };

/** A request of a page. */
interface Sent {
  readonly query: string;
  readonly body: Buffer;
}
interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly requestId?: string | null;
}
type Deliver = (sent: Sent) => Promise<Answer>;

/** A page as docs/security.md describes it, written without the code of the console. The browser tests run that one. */
class Page {
  /** Everything that it sent. */
  readonly sent: Sent[] = [];
  deliver: Deliver;
  readonly #broker: string;
  #key = Buffer.alloc(0);
  #publicKey = '';
  #session = '';
  #number = 0;

  constructor(broker: string, deliver: Deliver) {
    this.#broker = broker;
    this.deliver = deliver;
  }

  /** @returns what the answer opens to, with `isProved`, or its status */
  async send(call: {
    readonly method: string;
    readonly path: string;
    readonly body?: string;
    readonly token?: string;
  }) {
    if (call.token !== undefined) this.#begin();
    const about = `${this.#number} ${this.#session}`;
    const query = `?page=${this.#publicKey}&number=${this.#number}`;
    this.#number += 1;
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv).setAAD(Buffer.from(`call ${about}`));
    const sealed = Buffer.concat([iv, cipher.update(JSON.stringify(call)), cipher.final(), cipher.getAuthTag()]);
    const sent = { query, body: sealed };
    this.sent.push(sent);
    const { status, body } = await this.deliver(sent);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, body.subarray(0, 12))
        .setAAD(Buffer.from(`answer ${about}`))
        .setAuthTag(body.subarray(-16));
      const text = Buffer.concat([decipher.update(body.subarray(12, -16)), decipher.final()]).toString();
      const { session = this.#session, ...reply } = JSON.parse(text);
      this.#session = session;
      return { ...reply, isProved: true };
    } catch {
      return { status, text: body.toString(), isProved: false };
    }
  }

  #begin(): void {
    const own = createECDH('prime256v1');
    this.#publicKey = own.generateKeys('hex');
    const shared = own.computeSecret(this.#broker, 'hex');
    const salt = own.getPublicKey();
    this.#key = Buffer.from(hkdfSync('sha256', shared, salt, 'sdk-token-broker console', 32));
    this.#session = '';
    this.#number = 0;
  }
}

function deliverTo(origin: string): Deliver {
  return async ({ query, body }) => {
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await fetch(`${origin}/console/calls${query}`, {
      method: 'POST',
      headers,
      body: new Uint8Array(body),
    });
    const requestId = answer.headers.get('x-request-id');
    return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()), requestId };
  };
}

/** Sessions with a clock of the test, without a server. */
function sessionsAt(
  now: () => number,
  maxUsed?: number,
): { readonly sessions: ReturnType<typeof consoleSessions>; readonly deliver: Deliver } {
  const sessions = consoleSessions(now, maxUsed);
  const deliver: Deliver = async ({ query, body }) => {
    const sent = new URLSearchParams(query);
    const opened = sessions.open(sent.get('page') ?? '', Number(sent.get('number')), body);
    if (!opened) return { status: 401, body: Buffer.alloc(0) };
    const session = opened.token === undefined ? opened.start(ADMIN_TOKEN) : undefined;
    return { status: 200, body: opened.seal(JSON.stringify({ session })) };
  };
  return { sessions, deliver };
}

async function openPage(origin: string): Promise<Page> {
  const { body } = await plainRequest(`${origin}/console`);
  const [, key = ''] = /<html data-broker="([0-9a-f]{130})"/.exec(body) ?? [];
  return new Page(key, deliverTo(origin));
}

async function signedIn(origin: string): Promise<Page> {
  const page = await openPage(origin);
  expect(await page.send(SIGN_IN)).toMatchObject({ status: 200, isProved: true });
  return page;
}

describe('a sealed call of the console', () => {
  it('is answered as one with the token, in both directions unreadable, with an audit line of the caller', async () => {
    const known = recordingAccounts(new Map([['alice', { identity: { accessId: 'a1', region: 'CN' }, records: [] }]]));
    const { origin, log } = await startInternalApp({ accounts: known.accounts });
    const page = await openPage(origin);
    const { deliver } = page;
    const answers: Answer[] = [];
    page.deliver = async (sent) => {
      const answer = await deliver(sent);
      answers.push(answer);
      return answer;
    };
    expect(JSON.parse((await page.send(SIGN_IN)).text)).toEqual(STATUS);
    const found = await page.send({ method: 'POST', path: 'accounts/lookup', body: '{"accessIds":["a1"]}' });
    expect(JSON.parse(found.text)).toEqual({ a1: 'alice' });
    expect(await page.send({ method: 'DELETE', path: 'accounts/alice' })).toMatchObject({ status: 204, text: '' });
    expect(known.erased).toEqual(['alice']);
    const audits = log()
      .split('\n')
      .filter((line) => line.includes('"audit":true'));
    expect(audits.map((line) => JSON.parse(line))).toMatchObject(
      ['getStatus', 'lookUpAccounts', 'eraseAccount'].map((action, at) => ({
        caller: 'default',
        action,
        requestId: answers[at]?.requestId,
      })),
    );
    const seen = [...page.sent, ...answers].map(({ body }) => body.toString('latin1')).join();
    for (const secret of [ADMIN_TOKEN, 'alice', 'status', STATUS.replica]) expect(seen).not.toContain(secret);
  });

  it('is refused when it comes again, also the first one, or was changed', async () => {
    const { origin, log } = await startInternalApp();
    const page = await signedIn(origin);
    await page.send(STATUS_CALL);
    const [first, second] = page.sent;
    if (!first || !second) throw new Error('the page sent nothing');
    const audits = () => log().split('"audit":true').length;
    const before = audits();
    const changed = Buffer.from(second.body);
    changed[20] = (changed[20] ?? 0) ^ 1;
    const worthless = [
      first,
      second,
      { ...second, query: second.query.replace('number=1', 'number=2') },
      { query: second.query.replace('number=1', 'number=2'), body: changed },
      { query: second.query.replace('number=1', 'number=2'), body: second.body.subarray(0, 20) },
    ];
    for (const one of worthless) expect((await page.deliver(one)).status).toBe(401);
    expect(audits()).toBe(before);
    expect(await page.send(STATUS_CALL)).toMatchObject({ status: 200, isProved: true });
  });

  it('that was kept back is refused after eight later ones, and may be overtaken by fewer', async () => {
    const { origin } = await startInternalApp();
    const page = await signedIn(origin);
    const { deliver } = page;
    const kept: Sent[] = [];
    page.deliver = async (sent) => {
      kept.push(sent);
      return { status: 0, body: Buffer.alloc(0) };
    };
    for (let call = 0; call < 2; call += 1) await page.send(STATUS_CALL);
    page.deliver = deliver;
    for (let call = 0; call < 7; call += 1) await page.send(STATUS_CALL);
    const [older, newer] = kept;
    if (!older || !newer) throw new Error('nothing was kept back');
    expect((await deliver(newer)).status).toBe(200);
    expect((await deliver(older)).status).toBe(401);
  });

  it('is worthless for another process, and an answer that this process did not make is known', async () => {
    const [own, other] = [await startInternalApp(), await startInternalApp()];
    const page = await signedIn(own.origin);
    page.deliver = deliverTo(other.origin);
    expect(await page.send(STATUS_CALL)).toMatchObject({ status: 401, isProved: false });
    expect(await page.send(SIGN_IN)).toMatchObject({ status: 401, isProved: false });
    expect(other.log()).not.toContain('"audit":true');
  });

  it('does not get the answer to another one', async () => {
    const { origin } = await startInternalApp();
    const page = await signedIn(origin);
    const { deliver } = page;
    const answers: Answer[] = [];
    page.deliver = async (sent) => {
      answers.push(await deliver(sent));
      return answers[0] as Answer;
    };
    expect(await page.send(STATUS_CALL)).toMatchObject({ isProved: true });
    expect(await page.send(STATUS_CALL)).toMatchObject({ isProved: false });
  });
});

/** Other texts for the key of a page that lead to the same secret. 2^256 - 2^224 + … is the field of P-256. */
function aliasesOf(key: string): readonly string[] {
  const [x, y] = [key.slice(2, 66), BigInt(`0x${key.slice(66)}`)];
  const mirrored = (2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n - y).toString(16).padStart(64, '0');
  return [`04${x}${mirrored}`, `0${6n + (y & 1n)}${key.slice(2)}`];
}

describe('the session of a console', () => {
  it('does not begin again with a recorded call, neither after its end nor under another form of its key', async () => {
    let now = 0;
    const { sessions, deliver } = sessionsAt(() => now);
    const page = new Page(sessions.publicKey, deliver);
    expect(await page.send(SIGN_IN)).toMatchObject({ isProved: true });
    const [{ query, body } = { query: '', body: Buffer.alloc(0) }] = page.sent;
    const key = new URLSearchParams(query).get('page') ?? '';
    const recorded = [key, ...aliasesOf(key)].map((one) => ({ query: query.replace(key, one), body }));
    for (const minutes of [0, 31, 13 * 60]) {
      now += minutes * MINUTE_MS;
      for (const one of recorded) expect((await deliver(one)).status).toBe(401);
    }
    expect(await page.send(SIGN_IN)).toMatchObject({ isProved: true });
  });

  it('does not begin again with a sign-in that is remembered, and a bound holds for those', async () => {
    // More than open sessions.
    const remembered = 40;
    const { sessions, deliver } = sessionsAt(() => 0, remembered);
    const pages = Array.from({ length: remembered + 1 }, () => new Page(sessions.publicKey, deliver));
    for (const page of pages) await page.send(SIGN_IN);
    const again = async (page: Page | undefined) => {
      const [signIn] = page?.sent ?? [];
      return signIn && (await deliver(signIn)).status;
    };
    expect([await again(pages[1]), await again(pages[0])]).toEqual([401, 200]);
  });

  it('needs an admin token, and counts wrong ones as the rest of the API does', async () => {
    const stopped = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    onTestFinished(() => stopped.mockRestore());
    const { origin } = await startInternalApp();
    const page = await openPage(origin);
    const wrong = { ...STATUS_CALL, token: 'wrong' };
    expect(await page.send(wrong)).toMatchObject({ status: 401, isProved: true });
    expect(await page.send(STATUS_CALL)).toMatchObject({ status: 401, isProved: false });
    for (let more = 1; more < 30; more += 1) await page.send(wrong);
    expect(await page.send(wrong)).toMatchObject({
      status: 429,
      isProved: true,
      retryAfter: expect.toSatisfy((s) => s > 1),
    });
    expect(await page.send(SIGN_IN)).toMatchObject({ status: 200, isProved: true });
  });

  it('ends after 30 minutes without a call, and after 12 hours', async () => {
    let now = 0;
    const { sessions, deliver } = sessionsAt(() => now);
    const page = new Page(sessions.publicKey, deliver);
    const isOpenAfter = async (minutes: number) => {
      now += minutes * MINUTE_MS;
      return (await page.send(STATUS_CALL)).isProved;
    };
    await page.send(SIGN_IN);
    for (let hour = 0; hour < 12; hour += 0.5) {
      expect(await isOpenAfter(29)).toBe(true);
      expect(await isOpenAfter(0.9)).toBe(true);
    }
    expect(await isOpenAfter(29)).toBe(false);
    await page.send(SIGN_IN);
    expect(await isOpenAfter(30)).toBe(false);
  });

  it('of the quietest of 33 consoles ends', async () => {
    const { origin } = await startInternalApp({ logLevel: 'warn' });
    const pages = [];
    for (let page = 0; page < 32; page += 1) pages.push(await signedIn(origin));
    await pages[0]?.send(STATUS_CALL);
    await signedIn(origin);
    expect(await pages[1]?.send(STATUS_CALL)).toMatchObject({ isProved: false });
    for (const page of [pages[0], pages[2]]) expect(await page?.send(STATUS_CALL)).toMatchObject({ isProved: true });
  });
});

it.each([
  ['a path that the console does not use', { method: 'GET', path: 'metrics' }],
  ['a path to itself', { method: 'POST', path: 'console/calls' }],
  ['a path that only begins alike', { method: 'GET', path: 'statuses' }],
  ['a method that the console does not use', { method: 'PUT', path: 'accounts/a/access-id' }],
])('a sealed call with %s is malformed, which is no fault of the broker', async (_name, call) => {
  const { origin, log } = await startInternalApp({ logLevel: 'warn' });
  const page = await openPage(origin);
  const reply = await page.send({ ...call, token: ADMIN_TOKEN });
  expect(reply).toMatchObject({ status: 400, isProved: false });
  expect(JSON.parse(reply.text).code).toBe('request_invalid');
  expect(log()).not.toContain('"level":50');
});

const PAGE = '0'.repeat(130);
it.each([
  ['?page=00&number=0', 400, 'page must be 130 hexadecimal digits'],
  [`?page=${PAGE}&number=x`, 400, 'number must be a whole number'],
  [`?page=${PAGE}&number=`, 400, 'number must be a whole number'],
  [`?page=${PAGE}`, 400, 'number must be a whole number'],
  [`?page=${PAGE}&number=0&more=1`, 400, 'Unknown query parameter; allowed are page, number'],
  ['', 400, 'page must be 130 hexadecimal digits'],
  [`?page=${PAGE}&number=0`, 401, 'This process has no such session of a console. Load the page again'],
])('a call with the query "%s" is refused before anything is opened', async (query, status, detail) => {
  const { origin } = await startInternalApp();
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await fetch(`${origin}/console/calls${query}`, { method: 'POST', headers, body: 'x'.repeat(64) });
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ detail });
});

it.each([
  ['more than 16 KiB', Buffer.alloc(16 * 1_024 + 1), 'The body is too large'],
  ['no sealed body', undefined, 'The body must be a sealed call, as application/octet-stream'],
])('a call with %s is told so', async (_what, body, detail) => {
  const { origin } = await startInternalApp();
  const sent = body && { body, headers: { 'content-type': 'application/octet-stream' } };
  const answer = await fetch(`${origin}/console/calls?page=${PAGE}&number=0`, { method: 'POST', ...sent });
  expect([answer.status, await answer.json()]).toEqual([400, expect.objectContaining({ detail })]);
});

it('a replica that shuts down says so to the console', async () => {
  const closing = new AbortController();
  const { origin } = await startInternalApp({ closing: closing.signal });
  const page = await signedIn(origin);
  closing.abort();
  const reply = await page.send(STATUS_CALL);
  expect(reply).toMatchObject({ status: 503, isProved: false });
  expect(JSON.parse(reply.text).code).toBe('shutting_down');
});
