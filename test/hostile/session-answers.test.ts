import type { RequestListener } from 'node:http';
import { expect, test } from 'vitest';
import { createSessionVerifier, type SessionOptions } from '../../src/session/session-verifier.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { BrokerError } from '../../src/token/errors.ts';
import { SILENCE } from '../support/broker-parts.ts';
import { plainRequest } from '../support/plain-request.ts';
import { silentObserver } from '../support/silent-observer.ts';
import { recordingTokens, startApp } from '../unit/http/running-app.ts';
import { json, recordingServer } from '../unit/session/recording-server.ts';
import { ACCOUNT, AUDIENCE, CLAIM_NAMES, ISSUER, newSigner } from '../unit/session/sessions.ts';
import { mutateBytes, mutateJson, ODD_NAMES, ODD_VALUES, oneOf, type Random, randomNumbers } from './mutated-json.ts';

/** Mutated answers in all, a third of them in each test. `npm run fuzz` makes 20,000. */
const ANSWERS = Math.ceil(Number(process.env['FUZZ_SESSION_ANSWERS'] ?? 600) / 3);
const SEED = 13;
const CANARY = 'canary-of-the-session-server';
const TIMEOUT_MS = 30_000 + 100 * ANSWERS;
const CODES = new Set(['session_invalid', 'session_expired', 'session_check_unavailable']);

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Whether the connection is closed in the middle of the body. */
  readonly cut: boolean;
}

const WORDS = 'alice true active DE de ZZ __proto__ constructor Refresh DPoP Bearer sdk-token-broker camera'.split(' ');
const VALUES = [
  ...ODD_VALUES,
  ...WORDS,
  ...[1e11, 1.8e12, -7, '🙂'.repeat(129), 'x'.repeat(129), 'camera x'],
  ...[['alice'], ['sdk-token-broker'], { active: true }],
];
const CLAIMS = 'active sub region exp iat nbf aud scope token_type token_use typ cnf events app'.split(' ');
const NAMES = [...CLAIMS, ...'keys kid kty alg use x y crv'.split(' '), ...ODD_NAMES];

const STATUSES = [201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 418, 429, 500, 503, 599];
const TYPES = ['text/html', 'application/jwt', 'application/json; charset=x', ';', 'a/b'];
const HEADERS = ['content-encoding', 'location', 'set-cookie', 'retry-after'];

function mutate(good: object, random: Random): Answer {
  const json = random(4) === 0 ? good : mutateJson(good, { names: NAMES, values: VALUES }, random);
  const body = Buffer.from(JSON.stringify(json));
  return {
    status: random(3) === 0 ? oneOf(random, ...STATUSES) : 200,
    headers: {
      'content-type': random(4) === 0 ? oneOf(random, ...TYPES) : 'application/json',
      ...(random(8) === 0 && { [oneOf(random, ...HEADERS)]: oneOf(random, 'gzip', 'br', '/', CANARY, '1') }),
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
const newVerifier = (options: SessionOptions) =>
  createSessionVerifier(options, {
    maxBytes: 2 ** 20,
    clock: systemClock,
    observer: silentObserver,
    announcements: SILENCE,
  });

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
      sessions: newVerifier(options),
      forwardedSession: mode === 'forward' ? { headers: ['authorization'], cookies: 'all' } : undefined,
      tokens,
    });
    const read = (session: string) =>
      plainRequest(`${origin}/sdk-token?uniqueId=phone`, { headers: { authorization: `Bearer ${session}` } });
    const good = { active: true, aud: 'sdk-token-broker', scope: 'openid camera', token_type: 'Bearer' };
    for (let number = 0; number < ANSWERS; number += 1) {
      const answer = mutate({ ...good, ...claims() }, random);
      server.answer = send(answer);
      const { status, body } = await read(`session-${number}`);
      const shown = `answer ${number}: ${JSON.stringify({ ...answer, body: String(answer.body).slice(0, 500) })}`;
      if (status === 200) expect(reads.pop()?.subject.unionId, shown).toBe(acceptable(mode, answer));
      else expect(CODES, shown).toContain(JSON.parse(body).code);
      if (status !== 200) expect(body).not.toContain(CANARY);
    }
    expect(reads).toEqual([]);
    expect(JSON.stringify(log())).not.toContain(CANARY);
    // Answers without a mutation are accepted, so the test can tell both.
    server.answer = json({ ...good, ...claims() });
    expect((await read('last')).status).toBe(200);
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
      const verifier = newVerifier(options);
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
