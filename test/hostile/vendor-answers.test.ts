import { randomUUID } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, test } from 'vitest';
import { Keys } from '../../src/store/redis/keys.ts';
import { LOGIN_ERRORS } from '../../src/token/errors.ts';
import { serveToken } from '../../src/token/sdk-token.ts';
import { subjectId } from '../../src/token/subject.ts';
import { KNOWN_RESULTS } from '../../src/vendor-api/answer.ts';
import { brokerParts } from '../support/broker-parts.ts';
import { captureLog } from '../support/captured-log.ts';
import { eventually } from '../support/eventually.ts';
import { newKey, openRedisStore } from '../support/filled-store.ts';
import { listening } from '../support/listening.ts';
import { plainRequest } from '../support/plain-request.ts';
import { keysMatching, redisClient } from '../support/redis-client.ts';
import { principal, startApp } from '../unit/http/running-app.ts';
import { IOS, vendorLoginAt } from '../unit/vendor-api/running-vendor-login.ts';
import { DATA } from '../unit/vendor-api/scripted-vendor.ts';
import { mutateBytes, mutateJson, ODD_NAMES, ODD_VALUES, oneOf, type Random, randomNumbers } from './mutated-json.ts';

/** Mutated answers. `npm run fuzz` sends 100,000. */
const ANSWERS = Number(process.env['FUZZ_VENDOR_ANSWERS'] ?? 500);
const SEED = 13;
const CIRCUIT_PAUSE_MS = 100;
const AT_ONCE = 40;
const BATCH = 1_000;
const TIMEOUT_MS = 300;
/** A login has at most three attempts. A busy machine adds the rest. */
const LONGEST_MS = 20_000;
/** A vendor that sends the rest of its answer after this time sends it too late. */
const SLOW_MS = 2 * TIMEOUT_MS;
/** Not a request id that the log may show, because of the spaces. */
const CANARY = 'canary of the vendor';
/** On a busy machine, Redis may not answer in time: `store_unavailable`. */
const CODES = new Set([...LOGIN_ERRORS.filter((code) => code !== 'vendor_busy'), 'store_unavailable']);
const LARGEST_BODY = 256 * 1024;

const NAMES = ['code', 'msg', 'requestId', 'data', ...Object.keys(DATA), 'expend', 'Code', ...ODD_NAMES];
const VALUES = [
  ...ODD_VALUES,
  ...[77_777, ...KNOWN_RESULTS.keys()],
  ...['check sign failed:-2', CANARY, [CANARY], { accessToken: CANARY }],
];
/** Text that takes the place of one value, because JSON.stringify cannot make it. */
const TEXTS = [
  '1e400',
  '-0',
  '0.0',
  '00',
  '1.0',
  '9'.repeat(500),
  '-9223371996052586423',
  'NaN',
  'Infinity',
  '"\\ud800"',
  '"\\u0000"',
  '{"a":1,"a":2}',
  `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
  `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  '['.repeat(100_000),
  '/**/1',
];
const STATUSES =
  '100 101 103 199 201 204 205 206 301 302 304 307 400 401 403 404 418 429 500 502 503 599 600 999 20 2000 x';
const HEADERS = [
  'Content-Type: text/html',
  'Content-Type: application/json; charset=utf-16',
  'Content-Encoding: gzip',
  'Content-Encoding: br, gzip, x',
  'Retry-After: 0',
  'Retry-After: 1',
  'Retry-After: 99999999999',
  'Retry-After: -1',
  'Retry-After: Thu, 01 Jan 1970 00:00:00 GMT',
  `Retry-After: ${CANARY}`,
  'Date: Thu, 01 Jan 1970 00:00:00 GMT',
  'Date: yesterday',
  `Location: /${CANARY.replaceAll(' ', '-')}`,
  `Set-Cookie: ${CANARY}`,
  'Connection: close',
  'Connection: upgrade\r\nUpgrade: h2c',
  'Keep-Alive: timeout=0',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: chunked',
  'Content-Length: 0',
  'Content-Length: -1',
  'Content-Length: 99999999999',
  `X-Long: ${'x'.repeat(20_000)}`,
  'No colon',
  ': no name',
];

type Framing = 'length' | 'chunked' | 'close';
/** What happens on the connection. `twice`: a second answer follows that nobody asked for. */
type Delivery = 'whole' | 'cut' | 'slow' | 'reset' | 'silent' | 'twice';

interface Answer {
  readonly status: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly framing: Framing;
  readonly delivery: Delivery;
  /** Whether bytes of head and framing are changed too. */
  readonly raw: boolean;
}

function mutatedBody(good: object, random: Random): Buffer {
  const json = JSON.stringify(random(4) === 0 ? good : mutateJson(good, { names: NAMES, values: VALUES }, random));
  switch (random(12)) {
    case 0:
    case 1:
      return mutateBytes(Buffer.from(json), random);
    case 2:
    case 3:
      return Buffer.from(
        json.replace(/(?<=:)(?:-?\d+|"[^"\\]*")(?=[,}])/g, (old) => (random(4) ? old : oneOf(random, ...TEXTS))),
      );
    case 4:
      return Buffer.from(json, oneOf(random, 'utf16le', 'latin1', 'base64'));
    case 5:
      return Buffer.from(Array.from({ length: random(3_000) }, () => random(256)));
    case 6:
      return random(8) === 0 ? Buffer.alloc(LARGEST_BODY + random(3) - 1, json) : Buffer.alloc(random(2));
    default:
      return Buffer.from(json);
  }
}

function mutated(good: object, random: Random): Answer {
  return {
    status: random(3) === 0 ? oneOf(random, ...STATUSES.split(' ')) : '200',
    headers: random(3) === 0 ? Array.from({ length: 1 + random(2) }, () => oneOf(random, ...HEADERS)) : [],
    body: mutatedBody(good, random),
    framing: oneOf(random, 'length', 'length', 'length', 'chunked', 'close'),
    delivery:
      random(5) === 0 ? oneOf(random, 'cut', 'cut', 'cut', 'slow', 'reset', 'silent', 'twice', 'twice') : 'whole',
    raw: random(10) === 0,
  };
}

function bytesOf({ status, headers, body, framing, raw }: Answer, random: Random): Buffer {
  const frame = {
    length: `Content-Length: ${body.length}`,
    chunked: 'Transfer-Encoding: chunked',
    close: 'Connection: close',
  };
  const head = [`HTTP/1.1 ${status} answer`, `Date: ${new Date().toUTCString()}`, frame[framing], ...headers];
  const content = framing === 'chunked' ? [`${body.length.toString(16)}\r\n`, body, '\r\n0\r\n\r\n'] : [body];
  const bytes = Buffer.concat([`${head.join('\r\n')}\r\n\r\n`, ...content].map((part) => Buffer.from(part)));
  if (!raw) return bytes;
  const changes = 1 + random(3);
  for (let change = 0; change < changes; change += 1) bytes[random(Math.min(bytes.length, 300))] = random(256);
  return bytes;
}

function deliver(socket: Socket, answer: Answer, random: Random): void {
  const bytes = bytesOf(answer, random);
  const part = bytes.subarray(0, random(bytes.length));
  if (answer.delivery === 'silent') return;
  if (answer.delivery === 'cut') return void socket.end(part);
  if (answer.delivery === 'reset') return void socket.write(part, () => socket.resetAndDestroy());
  if (answer.delivery === 'slow') {
    socket.write(part);
    setTimeout(() => socket.writable && socket.end(bytes.subarray(part.length)), SLOW_MS).unref();
    return;
  }
  socket.write(answer.delivery === 'twice' ? Buffer.concat([bytes, bytes]) : bytes);
  if (answer.framing === 'close') socket.end();
}

/**
 * A vendor that answers each login with the bytes of `answer`. It reads requests by itself, so it can send any bytes.
 */
async function startVendor(answer: (socket: Socket, unionId: string) => void): Promise<URL> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      for (;;) {
        const end = received.indexOf('\r\n\r\n') + 4;
        const [, length] = /^content-length: (\d+)/im.exec(received) ?? [];
        if (end < 4 || received.length < end + Number(length)) return;
        const body = Buffer.from(received.slice(end, end + Number(length)), 'latin1');
        received = received.slice(end + Number(length));
        answer(socket, JSON.parse(String(body)).unionId);
      }
    });
  });
  return new URL((await listening(server)).url);
}

/** Whether the answer holds this token, read by other code than the broker's. */
function holds({ body, delivery }: Answer, accessToken: string): boolean {
  if (delivery === 'reset' || delivery === 'silent') return false;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    const { code, data } = JSON.parse(text);
    if (typeof data.accessToken === 'string') return code === 0 && data.accessToken.toWellFormed() === accessToken;
    // JSON.parse rounds a number.
    return code === 0 && text.replaceAll(/\s/g, '').includes(`"accessToken":${accessToken}`);
  } catch {
    return false;
  }
}

test(
  'mutated answers of the vendor cause no crash, no hang, no 500 and no leak, and no account gets the token of another',
  async () => {
    const random = randomNumbers(SEED);
    const answers = new Map<string, Answer[]>();
    let [mutations, accounts, notSent, notStored] = [0, 0, 0, 0];
    const baseUrl = await startVendor((socket, unionId) => {
      const data = { ...DATA, accessToken: `canary-token-of-${unionId}`, expireTime: 86_400 };
      const good = { code: 0, msg: CANARY, requestId: 'request-1', data };
      // Correct answers between the others keep the circuit closed.
      const isMutated = random(2) === 0;
      if (isMutated) mutations += 1;
      const correct = { status: '200', headers: [], framing: 'length', delivery: 'whole', raw: false } as const;
      const answer = isMutated ? mutated(good, random) : { ...correct, body: Buffer.from(JSON.stringify(good)) };
      answers.set(unionId, [...(answers.get(unionId) ?? []), answer]);
      deliver(socket, answer, random);
    });
    const log = captureLog('debug');
    const { vendorLogin } = vendorLoginAt(baseUrl, { timeoutMs: TIMEOUT_MS, log: log.logger });
    const keyPrefix = `vendor-fuzz-${randomUUID()}`;
    const store = await openRedisStore(inject('redisUrl'), keyPrefix, [newKey('k1')]);
    const redis = redisClient();
    const { broker } = brokerParts({ store, vendor: vendorLogin, log: log.logger });
    const { origin, log: httpLog } = await startApp({
      tokens: broker,
      apps: [IOS.name],
      sessions: { verify: async (session) => principal({ unionId: session, region: 'CN' }) },
    });
    const seen = new Map<string, number>();
    const secrets = [CANARY, 'canary-token', IOS.appKey, 'account-of-the-fuzz'];

    const readAsNewAccount = async () => {
      const unionId = `account-of-the-fuzz-${accounts++}`;
      const url = `${origin}/sdk-token?uniqueId=phone`;
      const headers = { authorization: `Bearer ${unionId}` };
      const { status, body, headers: sent } = await plainRequest(url, { headers, timeoutMs: LONGEST_MS });
      const own = answers.get(unionId) ?? [];
      answers.delete(unionId);
      const shown = own.map((one) => JSON.stringify({ ...one, body: String(one.body).slice(0, 500) })).join('\n');
      const outcome = status === 200 ? 'served' : JSON.parse(body).code;
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      if (status !== 200) {
        expect(CODES, shown).toContain(outcome);
        expect(sent['content-type'], shown).toBe('application/problem+json');
        for (const secret of secrets) expect(body, shown).not.toContain(secret);
        // While the circuit is open, no login is sent.
        if (own.length === 0) {
          notSent += 1;
          await sleep(CIRCUIT_PAUSE_MS);
        }
        return;
      }
      const fields: Record<string, string> = JSON.parse(body);
      expect(Object.values(fields).filter((value) => typeof value !== 'string')).toEqual([]);
      // A login may be repeated: after a broken answer, or without the lease while Redis does not answer in time.
      const isOwn = own.some((answer) => answer.raw || holds(answer, fields['accessToken'] ?? ''));
      expect(isOwn, `${shown}\n${body}`).toBe(true);
      // Another replica serves the same from Redis. A token that a mutation made short may have expired.
      if (Number(fields['expireTime']) * 1_000 < Date.now() + LONGEST_MS) return;
      const id = subjectId({ app: IOS.name, unionId, uniqueId: 'phone' });
      const { record } = await eventually(() => store.terminals.read(id));
      if (record) expect(serveToken(record).body, shown).toBe(body);
      else notStored += 1;
    };
    const checkLog = () => {
      const text = log.text() + JSON.stringify(httpLog());
      for (const secret of secrets) expect(text).not.toContain(secret);
      expect(text).not.toMatch(/uncaught|unhandled|TypeError|RangeError/i);
    };
    const forget = async () => {
      const changes = new Keys(keyPrefix).changes(0);
      const old = (await keysMatching(`${keyPrefix}:*`, redis)).filter((key) => key !== changes);
      if (old.length > 0) await redis.unlink(...old);
    };

    while (mutations < ANSWERS) {
      const end = Math.min(ANSWERS, mutations + BATCH);
      const read = async () => {
        while (mutations < end) await readAsNewAccount();
      };
      await Promise.all(Array.from({ length: AT_ONCE }, read));
      checkLog();
      await forget();
    }
    if (process.env['FUZZ_VENDOR_ANSWERS'])
      process.stdout.write(`${mutations} mutated answers: ${JSON.stringify([...seen])}\n`);
    expect(seen.get('served')).toBeGreaterThan((accounts - notSent) / 4);
    // While Redis does not answer in time, a login needs no lease. A fence may make its token outdated before it is
    // stored.
    expect(notStored).toBeLessThan(accounts / 10);
    for (const code of ['vendor_rejected', 'vendor_unavailable', 'vendor_timeout'])
      expect(seen.has(code), code).toBe(true);
  },
  180_000 + ANSWERS * 30,
);
