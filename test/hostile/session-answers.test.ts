import type { RequestListener } from 'node:http';
import { expect, test } from 'vitest';
import { createSessionVerifier, type SessionOptions } from '../../src/session/session-verifier.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { BrokerError } from '../../src/token/errors.ts';
import { plainRequest } from '../support/plain-request.ts';
import { silentObserver } from '../support/silent-observer.ts';
import { recordingTokens, startApp } from '../unit/http/running-app.ts';
import { recordingServer } from '../unit/session/recording-server.ts';
import { ACCOUNT, AUDIENCE, CLAIM_NAMES, ISSUER, newSigner } from '../unit/session/sessions.ts';
import { mutateBytes, mutateJson, oneOf, type Random, randomNumbers } from './mutated-json.ts';

/** Mutated answers in all, a third of them in each test. `npm run fuzz` makes 20,000. */
const ANSWERS = Math.ceil(Number(process.env['FUZZ_SESSION_ANSWERS'] ?? 600) / 3);
const SEED = 13;
const CANARY = 'canary-of-the-session-server';
const JSON_TYPE = { 'content-type': 'application/json' };
const TIMEOUT_MS = 30_000 + 100 * ANSWERS;
const CODES = new Set(['session_invalid', 'session_expired', 'session_check_unavailable']);

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Whether the connection is closed in the middle of the body. */
  readonly cut: boolean;
}

const VALUES = [
  null,
  true,
  false,
  0,
  -1,
  1,
  0.5,
  1e11,
  1.8e12,
  -7,
  1e300,
  '',
  ' ',
  'alice',
  'true',
  'active',
  'DE',
  'de',
  'ZZ',
  '__proto__',
  'constructor',
  '\u0000',
  '\ud800',
  '🙂'.repeat(129),
  'x'.repeat(129),
  'x'.repeat(70_000),
  [],
  {},
  [null],
  ['alice'],
  { active: true },
  [[[[]]]],
  'Refresh',
  'DPoP',
  'Bearer',
  'sdk-token-broker',
  ['sdk-token-broker'],
  'camera',
  'camera x',
];
const NAMES = [
  'active',
  'sub',
  'region',
  'exp',
  'iat',
  'nbf',
  'aud',
  'scope',
  'token_type',
  'token_use',
  'typ',
  'cnf',
  'events',
  'app',
  'keys',
  'kid',
  'kty',
  'alg',
  'use',
  'x',
  'y',
  'crv',
  'error',
  '__proto__',
  'toString',
];

function mutate(good: object, random: Random): Answer {
  const json = random(4) === 0 ? good : mutateJson(good, { names: NAMES, values: VALUES }, random);
  const body = Buffer.from(JSON.stringify(json));
  return {
    status:
      random(3) === 0 ? oneOf(random, 201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 418, 429, 500, 503, 599) : 200,
    headers: {
      'content-type':
        random(4) === 0
          ? oneOf(random, 'text/html', 'application/jwt', 'application/json; charset=x', ';', 'a/b')
          : 'application/json',
      ...(random(8) === 0 && {
        [oneOf(random, 'content-encoding', 'location', 'set-cookie', 'retry-after')]: oneOf(
          random,
          'gzip',
          'br',
          '/',
          CANARY,
          '1',
        ),
      }),
    },
    body: random(3) === 0 ? mutateBytes(body, random) : body,
    cut: random(12) === 0,
  };
}

function send({ status, headers, body, cut }: Answer): RequestListener {
  return (_request, response) => {
    response.writeHead(status, cut ? { ...headers, 'content-length': String(body.length + 1) } : headers);
    if (cut) response.write(body, () => response.destroy());
    else response.end(body);
  };
}

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;
const claims = () => ({ sub: 'alice', region: 'DE', iat: inSeconds(-5), exp: inSeconds(600), note: CANARY });

/** The claims that an answer holds, read by other code than the broker's. `undefined`: they must not be accepted. */
function acceptable(mode: 'introspection' | 'forward', { status, headers, body, cut }: Answer): string | undefined {
  if (cut || headers['content-encoding'] === 'gzip' || headers['content-encoding'] === 'br') return undefined;
  if (mode === 'forward' ? status < 200 || status > 299 : status !== 200) return undefined;
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
  const { active, sub, region, exp, iat, aud, scope, cnf } = Object(answer);
  const times = [exp, iat].filter((time) => typeof time === 'number');
  const hasPurpose =
    (Array.isArray(aud) ? aud : [aud]).includes('sdk-token-broker') && String(scope).split(' ').includes('camera');
  if (mode === 'introspection' && (active !== true || !hasPurpose || (cnf ?? null) !== null)) return undefined;
  const [, digits] = /"sub":\s*(-?\d+)\s*[,}]/.exec(String(body)) ?? [];
  const account = typeof sub === 'number' ? digits : sub;
  if (typeof account !== 'string' || account === '' || [...account].length > 128) return undefined;
  if ((region ?? null) !== null && !/^(?!ZZ)[a-z]{2}$/i.test(String(region))) return undefined;
  if ((exp ?? null) !== null && !(typeof exp === 'number' && exp > Date.now() / 1_000)) return undefined;
  return times.some((time) => time > 253_402_300_799) ? undefined : account;
}

const common = { claims: CLAIM_NAMES, cacheSeconds: 0 };

test.each(['introspection', 'forward'] as const)(
  'mutated answers of a session server in mode %s: no crash, no 500, nothing wrong accepted, nothing of them shown',
  async (mode) => {
    const random = randomNumbers(SEED);
    const server = await recordingServer(() => undefined);
    const settings = { url: new URL('/sessions', server.origin), ...common };
    const purpose = { audience: 'sdk-token-broker', scopes: ['camera'] };
    const options: SessionOptions =
      mode === 'forward'
        ? { mode, ...settings }
        : { mode, ...settings, ...purpose, clientId: 'broker', clientSecret: CANARY };
    const { tokens, reads } = recordingTokens();
    const { origin, log } = await startApp({
      sessions: createSessionVerifier(options, { maxBytes: 2 ** 20, clock: systemClock, observer: silentObserver }),
      forwardedSession: mode === 'forward' ? { headers: ['authorization'], cookies: 'all' } : undefined,
      tokens,
    });
    const good = { active: true, aud: 'sdk-token-broker', scope: 'openid camera', token_type: 'Bearer' };
    for (let number = 0; number < ANSWERS; number += 1) {
      const answer = mutate({ ...good, ...claims() }, random);
      server.answer = send(answer);
      const headers = { authorization: `Bearer session-${number}` };
      const { status, body } = await plainRequest(`${origin}/sdk-token?uniqueId=phone`, { headers });
      const shown = `answer ${number}: ${JSON.stringify({ ...answer, body: String(answer.body).slice(0, 500) })}`;
      if (status === 200) expect(reads.pop()?.subject.unionId, shown).toBe(acceptable(mode, answer));
      else expect(CODES, shown).toContain(JSON.parse(body).code);
      if (status !== 200) expect(body).not.toContain(CANARY);
    }
    expect(reads).toEqual([]);
    expect(JSON.stringify(log())).not.toContain(CANARY);
    // Answers without a mutation are accepted, so the test can tell both.
    server.answer = send({
      status: 200,
      headers: JSON_TYPE,
      body: Buffer.from(JSON.stringify({ ...good, ...claims() })),
      cut: false,
    });
    const last = await plainRequest(`${origin}/sdk-token?uniqueId=phone`, {
      headers: { authorization: 'Bearer last' },
    });
    expect(last.status).toBe(200);
  },
  TIMEOUT_MS,
);

test(
  'mutated keys: no crash, and no session that another key has signed is accepted',
  async () => {
    const random = randomNumbers(SEED);
    const server = await recordingServer(() => undefined);
    const [rsa, ec, stranger] = await Promise.all([
      newSigner('RS256', 'one'),
      newSigner('ES256', 'two'),
      newSigner('RS256', 'one'),
    ]);
    const key = { jwksUrl: new URL('/jwks.json', server.origin) };
    const options: SessionOptions = { mode: 'jwt', key, issuer: ISSUER, audience: AUDIENCE, ...common };
    const times = { iat: inSeconds(-5), exp: inSeconds(3_600) };
    const good = await Promise.all([rsa.sign(times), ec.sign(times)]);
    const forged = await stranger.sign(times);
    const accepted = new Set<string>();
    for (let number = 0; number < ANSWERS; number += 1) {
      server.answer = send(mutate({ keys: [rsa.jwk, ec.jwk] }, random));
      const verifier = createSessionVerifier(options, {
        maxBytes: 2 ** 20,
        clock: systemClock,
        observer: silentObserver,
      });
      const outcomes = await Promise.all(
        [...good, forged].map(async (session) => {
          try {
            return (await verifier.verify(session)).unionId;
          } catch (error) {
            return (error as BrokerError).code;
          }
        }),
      );
      expect(
        outcomes.filter((outcome) => outcome !== ACCOUNT && !CODES.has(outcome)),
        `answer ${number}`,
      ).toEqual([]);
      expect(CODES, `answer ${number}`).toContain(outcomes[2]);
      for (const outcome of outcomes) accepted.add(outcome);
    }
    expect(accepted).toEqual(new Set([ACCOUNT, 'session_invalid', 'session_check_unavailable']));
  },
  TIMEOUT_MS,
);
