import type { RequestListener } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClaimNames, reasonOf } from '../../../src/session/claims.ts';
import { explainSession } from '../../../src/session/session-explanation.ts';
import type { SessionOptions } from '../../../src/session/session-verifier.ts';
import { BrokerError } from '../../../src/token/errors.ts';
import { START_MS, TestClock } from '../../support/test-clock.ts';
import { json, RecordingServer } from './recording-server.ts';
import { ACCOUNT, AUDIENCE, CLAIM_NAMES, ISSUER, SECRET, START_SECONDS, signWithSecret } from './sessions.ts';

const MODES = ['jwt', 'introspection', 'forward'] as const;
type Mode = (typeof MODES)[number];

const server = new RecordingServer(json({}));
beforeAll(() => server.start());
afterAll(() => server.stop());

/** The envelope of an answer in mode forward. */
const IS_ACTIVE = { path: 'active', values: ['true'] };
const IS_OTHER = { path: 'scope', values: ['other', 'other cam'] };

function optionsOf(mode: Mode, unionId = 'sub'): SessionOptions {
  // No name is left out, so that each claim is explained.
  const claims = { ...CLAIM_NAMES, unionId, app: 'app' } satisfies Record<keyof ClaimNames, string>;
  const ofAll = { claims, cacheSeconds: 30 };
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
async function explain(
  mode: Mode,
  claims: Record<string, unknown>,
  { header = {}, secret = SECRET, unionId = 'sub', settings = {}, answer = json(claims) }: Circumstances = {},
) {
  server.answer = answer;
  const bearer = mode === 'jwt' ? await signWithSecret(secret, 'HS256', header, claims) : 'opaque';
  const session = mode === 'forward' ? JSON.stringify({ cookie: 'sid=1' }) : bearer;
  const options = { ...optionsOf(mode, unionId), ...settings } as SessionOptions;
  const explanation = await explainSession(options, session, { clock: new TestClock() });
  const claimed = explanation.claims.map((claim) => ({ ...claim, problem: claim.problem?.en }));
  const marked = claimed.filter(({ problem }) => problem !== undefined).map(({ name }) => name);
  return { ...explanation, claims: claimed, marked, refusal: explanation.decision instanceof BrokerError };
}

interface Circumstances {
  /** Of a JWT. */
  readonly header?: Record<string, unknown>;
  readonly secret?: string;
  readonly unionId?: string;
  readonly settings?: object;
  /** Of a session server. */
  readonly answer?: RequestListener;
}

const GOOD = { active: true, iss: ISSUER, aud: AUDIENCE, scope: 'cam', sub: ACCOUNT, exp: START_SECONDS + 60 };

/** The name of a claim, its value, and its problem if it has one. */
type Line = readonly [name: string, value: unknown, problem?: string];
const TIMES: readonly Line[] = [
  ['exp', GOOD.exp],
  ['nbf', undefined],
  ['iat', START_SECONDS],
];
const PRINCIPAL: readonly Line[] = [...TIMES, ['sub', ACCOUNT], ['region', undefined]];
const ALL: readonly Line[] = [...PRINCIPAL, ['app', 'ios']];
const WRONG_APP = `The session's claim app must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_" or "-" if it is present`;
const BOUND = 'The session is bound to a key of its client (cnf), which the broker cannot verify';

it.each<[string, Mode, object, Circumstances, readonly Line[]]>([
  [
    'a JWT that is accepted',
    'jwt',
    {},
    { header: { typ: 'at+jwt', kid: 'k-1' } },
    [['signature', 'HS256'], ['kid', 'k-1'], ['typ', 'at+jwt'], ['iss', ISSUER], ['aud', AUDIENCE], ...ALL],
  ],
  [
    'a JWT in which all is wrong',
    'jwt',
    { iss: 'other', aud: ['other'], cnf: { jkt: 'x' }, app: '?' },
    { secret: SECRET.replace('a', 'b'), header: { typ: 'logout+jwt' } },
    [
      ['signature', 'HS256', 'The signature of the session is wrong'],
      ['kid', undefined],
      ['typ', 'logout+jwt', 'is no type of a session'],
      ['iss', 'other', `must be "${ISSUER}"`],
      ['aud', ['other'], `must hold ${AUDIENCE}`],
      ['kind of token', undefined, BOUND],
      ...PRINCIPAL,
      ['app', '?', WRONG_APP],
    ],
  ],
  [
    'a token that the OAuth server accepts',
    'introspection',
    {},
    {},
    [['active', true], ['aud', AUDIENCE], ['scope', 'cam'], ...ALL],
  ],
  [
    'an active token in which all is wrong',
    'introspection',
    { aud: 'other', scope: 'other', cnf: { jkt: 'x' }, app: '?' },
    {},
    [
      ['active', true],
      ['aud', 'other', 'The session is not meant for the broker: wrong audience'],
      ['scope', 'other', 'The session lacks a scope that the broker requires'],
      ['kind of token', undefined, BOUND],
      ...PRINCIPAL,
      ['app', '?', WRONG_APP],
    ],
  ],
  ['a session that the cloud accepts', 'forward', {}, {}, [['active', true], ['scope', 'cam'], ...ALL]],
])('%s: each claim that counts, with its value and all problems', async (_, mode, more, circumstances, lines) => {
  const { claims, refusal } = await explain(mode, { ...GOOD, iat: START_SECONDS, app: 'ios', ...more }, circumstances);
  expect(claims).toEqual(lines.map(([name, value, problem]) => ({ name, value, problem })));
  expect(refusal).toBe(lines.some(([, , problem]) => problem !== undefined));
});

it('a JWT with an algorithm that is not configured has a wrong signature; any issuer and audience are right', async () => {
  const settings = { algorithms: ['HS512'], issuer: undefined, audience: undefined };
  expect((await explain('jwt', { ...GOOD, iss: 'other', aud: undefined }, { settings })).marked).toEqual(['signature']);
});

describe('a session without claims', () => {
  it.each(['introspection', 'forward'] as const)('is one that the server does not judge: %s', async (mode) => {
    const answer: RequestListener = (_request, response) => response.writeHead(500).end();
    const { decision, claims } = await explain(mode, GOOD, { answer });
    expect([decision, claims]).toEqual([expect.objectContaining({ code: 'session_check_unavailable' }), []]);
  });

  it.each(['junk', 'junk.junk.junk', `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.junk.junk`])(
    'is a text that is no JWT: %s',
    async (session) => {
      const { decision, claims } = await explainSession(optionsOf('jwt'), session, { clock: new TestClock() });
      expect([decision, claims]).toEqual([expect.objectContaining({ code: 'session_invalid' }), []]);
    },
  );
});

it('a key that cannot be used is not explained as the fault of a session', async () => {
  const options = { ...optionsOf('jwt'), key: { secret: 'short' } } as SessionOptions;
  await expect(explainSession(options, 'junk', { clock: new TestClock() })).rejects.toThrow('at least 32 bytes');
});

it.each(['introspection', 'forward'] as const)(
  'to explain an answer asks the session server once: %s',
  async (mode) => {
    const before = server.received.length;
    const { decision, claims } = await explain(mode, { ...GOOD, iat: 'yesterday' });
    expect(server.received).toHaveLength(before + 1);
    expect(decision).toMatchObject({ code: 'session_check_unavailable' });
    const problem = 'The claim iat in the answer is not a number';
    expect(claims).toContainEqual({ name: 'iat', value: 'yesterday', problem });
  },
);

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
const claimValues = {
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
};
const claims = fc.record(claimValues);
const typ = usually('JWT', fc.constantFrom<unknown>('at+jwt', 'application/JWT', 'refresh+jwt', '', 7, null, ['JWT']));
/** The claim of the account. A time may hold it, too. */
const unionId = fc.constantFrom('sub', 'sub', 'sub', 'iat', 'session.sub');

it.each(MODES)('in mode %s, a claim is marked exactly when the verifier refuses the session', async (mode) => {
  const { timeUnit: _, ...names } = optionsOf(mode).claims;
  expect(Object.keys(claimValues)).toEqual(expect.arrayContaining(Object.values(names)));
  const seen = { accepted: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(claims, typ, unionId, async (claims, typ, unionId) => {
      const { decision, refusal, marked, ...explained } = await explain(mode, claims, { header: { typ }, unionId });
      expect(marked.length > 0).toBe(refusal);
      const [first] = explained.claims.filter(({ problem }) => problem !== undefined);
      // A JWT is checked by its own rules first. Their texts name the expected value.
      const isAlone = marked.length === 1 && !(mode === 'jwt' && ['iss', 'aud', 'typ'].includes(first?.name ?? ''));
      if (isAlone && decision instanceof BrokerError) expect(first?.problem).toBe(reasonOf(decision).en);
      seen[refusal ? 'refused' : 'accepted'] += 1;
    }),
    { numRuns: 300 },
  );
  expect(Math.min(seen.accepted, seen.refused)).toBeGreaterThan(10);
});
