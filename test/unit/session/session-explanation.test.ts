import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explainSession } from '../../../src/session/session-explanation.ts';
import type { SessionOptions } from '../../../src/session/session-verifier.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { json, RecordingServer } from './recording-server.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLAIM_NAMES,
  ISSUER,
  START_MS,
  START_SECONDS,
  signWithSecret,
  TestClock,
} from './sessions.ts';

const SECRET = 'a-secret-of-at-least-32-bytes-for-hs256';
const MODES = ['jwt', 'introspection', 'forward'] as const;
type Mode = (typeof MODES)[number];

const server = new RecordingServer(json({}));
beforeAll(() => server.start());
afterAll(() => server.stop());

/** The envelope of an answer in mode forward. */
const IS_ACTIVE = { path: 'active', values: ['true'] };
const IS_OTHER = { path: 'scope', values: ['other', 'other cam'] };

function optionsOf(mode: Mode, unionId = 'sub'): SessionOptions {
  const ofAll = { claims: { ...CLAIM_NAMES, unionId, app: 'app' }, cacheSeconds: 30 };
  const url = new URL(server.origin);
  switch (mode) {
    case 'jwt':
      return { mode, key: { secret: SECRET }, issuer: ISSUER, audience: AUDIENCE, ...ofAll };
    case 'introspection':
      return { mode, url, clientId: 'broker', clientSecret: 'secret', audience: AUDIENCE, scopes: ['cam'], ...ofAll };
    case 'forward':
      return { mode, url, accepted: IS_ACTIVE, refused: IS_OTHER, ...ofAll };
  }
}

/** Explains a session with these claims. `marked` are the claims with a problem. */
async function explain(mode: Mode, claims: Record<string, unknown>, { typ = 'JWT' as unknown, unionId = 'sub' } = {}) {
  server.answer = json(claims);
  const bearer = mode === 'jwt' ? await signWithSecret(SECRET, 'HS256', { typ }, claims) : 'opaque';
  const session = mode === 'forward' ? JSON.stringify({ cookie: 'sid=1' }) : bearer;
  const explanation = await explainSession(optionsOf(mode, unionId), session, { clock: new TestClock() });
  const marked = explanation.claims.filter(({ problem }) => problem !== undefined).map(({ name }) => name);
  return { ...explanation, marked, refusal: explanation.decision instanceof BrokerError };
}

const GOOD = { active: true, iss: ISSUER, aud: AUDIENCE, scope: 'cam', sub: ACCOUNT, exp: START_SECONDS + 60 };

describe.each(['introspection', 'forward'] as const)('the explanation of an answer in mode %s', (mode) => {
  it.each([
    ['exp', String(START_SECONDS + 60)],
    ['iat', String(START_SECONDS)],
    ['nbf', START_SECONDS + 60],
    ['iat', START_SECONDS + 60],
    ['exp', null],
  ])('marks no claim with %s of %j, which the verifier accepts', async (name, value) => {
    expect(await explain(mode, { ...GOOD, [name]: value })).toMatchObject({ refusal: false, marked: [] });
  });

  it.each([
    [
      'iat',
      String(START_MS),
      'session_invalid',
      "The session's claim iat must be in seconds since 1970, not in milliseconds",
    ],
    ['nbf', START_MS, 'session_invalid', "The session's claim nbf must be in seconds since 1970, not in milliseconds"],
    [
      'iat',
      START_SECONDS + 61,
      'session_invalid',
      "The session's claim iat must be at most 60 s ahead of the broker's clock",
    ],
    ['iat', 'yesterday', 'session_check_unavailable', 'The claim iat in the answer is not a number'],
    ['nbf', {}, 'session_check_unavailable', 'The claim nbf in the answer is not a number'],
    ['exp', true, 'session_check_unavailable', 'The claim exp in the answer is not a number'],
    ['exp', String(START_SECONDS), 'session_expired', 'The session has expired'],
  ])('marks %s of %j with the reason of the verifier', async (name, value, code, problem) => {
    const { decision, claims, marked } = await explain(mode, { ...GOOD, [name]: value });
    expect(decision).toMatchObject({ code });
    expect(marked).toEqual([name]);
    expect(claims).toContainEqual({ name, value, problem });
  });

  it('asks the session server once', async () => {
    const before = server.received.length;
    await explain(mode, GOOD);
    expect(server.received).toHaveLength(before + 1);
  });
});

it.each([{ cnf: { jkt: 'x' } }, { typ: 'refresh' }, { token_type: 'DPoP' }, { token_use: 'refresh' }])(
  'an answer of a session server with %j is accepted in mode forward, and no claim is marked; an OAuth server is refused',
  async (claims) => {
    expect(await explain('forward', { ...GOOD, ...claims })).toMatchObject({ refusal: false, marked: [] });
    const ofOAuth = await explain('introspection', { ...GOOD, ...claims });
    expect(ofOAuth).toMatchObject({ refusal: true, marked: ['kind of token'] });
  },
);

const SECONDS = [0, -1, START_SECONDS - 5, START_SECONDS, START_SECONDS + 5, START_MS, 1e15];
const RUBBISH = [null, '', ' 5', '1e9', 'soon', true, [], {}, ['5']];
const time = fc.constantFrom<unknown>(...SECONDS, ...SECONDS.map(String), ...RUBBISH, '9'.repeat(400));
const kind = fc.constantFrom<unknown>('Bearer', 'refresh_token', 'offline', 'DPoP', 'at+jwt', 7, null);
/** Half of the claims are good ones or missing, so that many sessions are accepted. */
const usually = (good: unknown, other: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: other });
const claims = fc.record({
  active: usually(true, fc.constant(false)),
  iss: usually(ISSUER, fc.constantFrom('https://other.example', 7)),
  aud: usually(AUDIENCE, fc.constantFrom<unknown>('other', ['other', AUDIENCE], [[AUDIENCE]], 7)),
  scope: usually('cam', fc.constantFrom<unknown>('other', 'other cam', ['cam'], undefined)),
  sub: usually(ACCOUNT, fc.constantFrom<unknown>('', 7, null, '\ud800', 'x'.repeat(2_000))),
  region: usually(undefined, fc.constantFrom<unknown>('cn', 'UK', 7, null)),
  app: usually(undefined, fc.constantFrom<unknown>('ios', 'not an app', 7, null)),
  exp: usually(START_SECONDS + 60, time),
  iat: usually(undefined, time),
  nbf: usually(undefined, time),
  typ: usually(undefined, kind),
  token_type: usually(undefined, kind),
  token_use: usually(undefined, kind),
  cnf: usually(undefined, fc.constantFrom<unknown>({ jkt: 'x' }, null)),
  events: usually(undefined, fc.constant({ 'http://schemas.openid.net/event/backchannel-logout': {} })),
});
const typ = usually('JWT', fc.constantFrom<unknown>('at+jwt', 'application/JWT', 'refresh+jwt', '', 7, null, ['JWT']));
/** The claim of the account. A time may hold it, too. */
const unionId = fc.constantFrom('sub', 'sub', 'sub', 'iat', 'session.sub');

it.each(MODES)('in mode %s, a claim is marked exactly when the verifier refuses the session', async (mode) => {
  const seen = { accepted: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(claims, typ, unionId, async (claims, typ, unionId) => {
      const { refusal, marked } = await explain(mode, claims, { typ, unionId });
      expect(marked.length > 0).toBe(refusal);
      seen[refusal ? 'refused' : 'accepted'] += 1;
    }),
    { numRuns: 300 },
  );
  expect(Math.min(seen.accepted, seen.refused)).toBeGreaterThan(10);
});
