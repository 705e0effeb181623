import { text } from 'node:stream/consumers';
import { SignJWT } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import { listen } from '../../src/simulator/http-server.ts';
import type { Replica } from '../support/broker-service.ts';
import { type Fleet, startServices } from '../support/fleet.ts';
import { ADMIN_TOKEN, askInternal } from '../support/internal-api.ts';
import { introspectionAt } from '../unit/session/recording-server.ts';

const SECRET = 'the-secret-that-sessions-are-signed-with';
const BOUND = 'The session is bound to a key of its client (cnf), which the broker cannot verify';
const OTHER = 'The session must be an access token, not another kind of token';
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;
const inMilliseconds = (name: string) =>
  `The session's claim ${name} must be in seconds since 1970, not in milliseconds`;
const LOGOUT = { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } };

/** Tokens of a customer's own OAuth server, active and well signed, that are no session. With the expected detail. */
const WRONG: readonly (readonly [name: string, claims: object, detail: string])[] = [
  ['a refresh token by token_type', { token_type: 'refresh_token' }, OTHER],
  ['a refresh token by token_use', { token_use: 'refresh' }, OTHER],
  ['a refresh token by typ', { typ: 'Refresh' }, OTHER],
  ['an offline token', { typ: 'Offline' }, OTHER],
  ['a logout token', LOGOUT, OTHER],
  ['a DPoP-bound token', { token_type: 'DPoP' }, BOUND],
  ['a token bound to a DPoP key', { cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' } }, BOUND],
  ['a token bound to a certificate', { cnf: { 'x5t#S256': 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2' } }, BOUND],
  ['exp in milliseconds', { exp: inSeconds(600) * 1_000 }, inMilliseconds('exp')],
  ['iat in milliseconds', { iat: inSeconds(0) * 1_000 }, inMilliseconds('iat')],
];

/** Sends each session. @returns the answers' statuses and details, by name */
async function detailsOf(fleet: Fleet<Replica>, sessions: readonly (readonly [string, string])[]) {
  const answers = await Promise.all(
    sessions.map(async ([name, session]) => {
      const { status, body } = await fleet.broker(0).getToken(session, 'phone');
      return [name, status === 401 ? JSON.parse(body).detail : status];
    }),
  );
  return Object.fromEntries(answers);
}

const fleetWith = (env: Readonly<Record<string, string>>) =>
  startServices({ replicas: 1, env: { ADMIN_TOKEN, ...env } });

const details = (wrong: typeof WRONG) => Object.fromEntries(wrong.map(([name, , detail]) => [name, detail]));

describe('tokens of the right OAuth server that are no session are refused, and cause no login', () => {
  test('as JWTs', async () => {
    const fleet = await fleetWith({ SESSION_JWT_JWKS_URL: '', SESSION_JWT_SECRET: SECRET });
    const sign = (claims: object, typ?: unknown) =>
      new SignJWT({
        iss: fleet.cloud.issuer,
        aud: fleet.cloud.audience,
        sub: 'alice',
        region: 'DE',
        iat: inSeconds(-5),
        exp: inSeconds(600),
        ...claims,
      })
        .setProtectedHeader({ alg: 'HS256', ...(typ !== undefined && { typ: typ as string }) })
        .sign(Buffer.from(SECRET));
    const types = ['logout+jwt', 'refresh+jwt', 'dpop+jwt', 'secevent+jwt', 'JOSE', '', 7, true, null, ['JWT'], {}];
    const wrong: typeof WRONG = [
      ...WRONG,
      ['nbf in milliseconds', { nbf: inSeconds(-5) * 1_000 }, inMilliseconds('nbf')],
    ];
    const sessions = [
      ...(await Promise.all(wrong.map(async ([name, claims]) => [name, await sign(claims)] as const))),
      ...(await Promise.all(types.map(async (typ) => [`typ ${JSON.stringify(typ)}`, await sign({}, typ)] as const))),
    ];
    const typed = Object.fromEntries(
      types.map((typ) => [
        `typ ${JSON.stringify(typ)}`,
        'The header parameter typ of the session must be JWT or at+jwt if it is present',
      ]),
    );
    expect(await detailsOf(fleet, sessions)).toEqual({ ...details(wrong), ...typed });
    expect(fleet.vendor.state().requests).toBe(0);

    for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt']) {
      expect((await fleet.broker(0).getToken(await sign({}, typ), 'phone')).status, typ).toBe(200);
    }
    await expectErasable(fleet, await sign({ jti: 'before' }));
  });

  test('by introspection, and so are tokens for other services', async () => {
    const answers = new Map<string, object>();
    const server = await listen('127.0.0.1', 0, async (request, response) => {
      const token = new URLSearchParams(await text(request)).get('token') ?? '';
      response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify(answers.get(token) ?? { active: false }));
    });
    onTestFinished(() => server.close());
    const fleet = await fleetWith({
      ...introspectionAt(server.url),
      SESSION_INTROSPECTION_AUDIENCE: 'sdk-token-broker',
      SESSION_INTROSPECTION_SCOPE: 'camera profile',
    });
    const good = {
      active: true,
      sub: 'alice',
      region: 'DE',
      aud: 'sdk-token-broker',
      scope: 'profile camera openid',
      token_type: 'Bearer',
      iat: inSeconds(-5),
      exp: inSeconds(600),
    };
    const audience = 'The session is not meant for the broker: wrong audience';
    const scope = 'The session lacks a scope that the broker requires';
    const wrong: typeof WRONG = [
      ...WRONG,
      ['the token of a partner', { aud: 'partner-api' }, audience],
      ['several other audiences', { aud: ['partner-api', 'sdk-token-broker-2'] }, audience],
      ['no audience', { aud: undefined }, audience],
      ['a missing scope', { scope: 'profile cameras' }, scope],
      ['no scope', { scope: undefined }, scope],
      ['a scope of another kind', { scope: ['camera', 'profile'] }, scope],
    ];
    for (const [name, claims] of wrong) answers.set(tokenOf(name), { ...good, ...claims });
    answers.set('good', good);
    answers.set('also-good', { ...good, aud: ['partner-api', 'sdk-token-broker'] });
    expect(
      await detailsOf(
        fleet,
        wrong.map(([name]) => [name, tokenOf(name)]),
      ),
    ).toEqual(details(wrong));
    expect(fleet.vendor.state().requests).toBe(0);
    for (const session of ['good', 'also-good']) {
      expect((await fleet.broker(0).getToken(session, 'phone')).status).toBe(200);
    }
    await expectErasable(fleet, 'good');
  });
});

const tokenOf = (name: string) => name.replaceAll(' ', '-');

/** Erases the account, and expects that its session does not survive that. */
async function expectErasable(fleet: Fleet<Replica>, session: string): Promise<void> {
  expect((await askInternal(fleet.broker(0), 'DELETE /accounts/alice')).status).toBe(204);
  expect((await fleet.broker(0).getToken(session, 'phone')).status).toBe(401);
}
