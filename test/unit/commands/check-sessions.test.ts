import { beforeEach, describe, expect, it } from 'vitest';
import type { CheckResult } from '../../../src/commands/checks/check-result.ts';
import { checkSessions } from '../../../src/commands/checks/sessions.ts';
import { systemClock } from '../../../src/token/clock.ts';
import { json, type RecordingServer, recordingServer } from '../session/recording-server.ts';
import { AUDIENCE, CLAIM_NAMES, ISSUER, newSigner } from '../session/sessions.ts';

let server: RecordingServer;
let url: URL;
/** The address of the server without its query, as the results show it. */
let shown: string;

beforeEach(async () => {
  server = await recordingServer(json({}));
  url = new URL('/probe?tenant=7', server.origin);
  shown = `${server.origin}/probe`;
});

function answerWith(status: number, body = '{}'): void {
  server.answer = (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', location: '/elsewhere' }).end(body);
}

const access = { clock: systemClock, userAgent: 'sdk-token-broker/1.2.3' };

/** The result as one line, without the fix. */
function lineOf({ level, name, detail }: CheckResult): string {
  return `${level} ${name.en}: ${detail.en}`;
}

function fixOf(result: CheckResult | undefined): string {
  return result && 'fix' in result ? result.fix.en : '';
}

const common = { claims: CLAIM_NAMES, cacheSeconds: 30 };

describe('the check of published keys', () => {
  const resultsOf = (algorithms: readonly string[]) => {
    const options = { key: { jwksUrl: url }, issuer: ISSUER, audience: AUDIENCE, algorithms, ...common };
    return checkSessions({ mode: 'jwt', ...options }, access);
  };
  const check = async (algorithms: readonly string[]) => (await resultsOf(algorithms)).map(lineOf);

  it('says how many there are, but counts no entry that is no object, and fails if there is none', async () => {
    const { jwk } = await newSigner('ES256');
    server.answer = json({ keys: [jwk, null, 1, {}] });
    expect(await check(['ES256', 'RS256'])).toEqual([
      `ok session keys: ${shown} publishes 2 keys; accepted: ES256, RS256`,
    ]);
    expect(server.received).toMatchObject([
      { method: 'GET', url: '/probe?tenant=7', headers: { accept: 'application/json, application/jwk-set+json' } },
    ]);
    server.answer = json({ keys: [] });
    expect(await check(['RS256'])).toEqual([`FAIL session keys: ${shown} publishes 0 keys; accepted: RS256`]);
  });

  it('fails if the answer is no JWK Set, or has too many keys', async () => {
    answerWith(200, '<html>');
    expect(await check(['RS256'])).toEqual([
      `FAIL session keys: ${shown} answers with something else instead of a JWK Set, {"keys":[…]}`,
    ]);
    answerWith(200, JSON.stringify({ keys: Array(101).fill({}) }));
    expect(await check(['RS256'])).toEqual([`FAIL session keys: ${shown}: A JWK Set may have at most 100 keys`]);
  });

  it('says so if nothing listens at their address', async () => {
    url = new URL('http://127.0.0.1:9/keys');
    expect(await check(['RS256'])).toEqual([
      'FAIL session keys: nothing listens at http://127.0.0.1:9/keys (ECONNREFUSED)',
    ]);
  });

  it.each([
    [302, /^Correct SESSION_JWT_JWKS_URL\.$/],
    [404, /^Correct SESSION_JWT_JWKS_URL\.$/],
    [429, /^Look at the log/],
    [500, /^Look at the log/],
  ])('fails if the status is %i, and says what to do', async (status, fix) => {
    answerWith(status, '{"keys":[]}');
    const results = await resultsOf(['RS256']);
    expect(results.map(lineOf)).toEqual([
      `FAIL session keys: ${shown} answers with HTTP ${status} instead of a JWK Set, {"keys":[…]}`,
    ]);
    expect(fixOf(results[0])).toMatch(fix);
  });
});

describe('the check of the introspection endpoint', () => {
  const resultsOf = (purpose: object = { audience: AUDIENCE }) => {
    const client = { clientId: 'broker', clientSecret: 'a secret', ...purpose };
    return checkSessions({ mode: 'introspection', url, ...client, ...common }, access);
  };
  const check = async () => (await resultsOf()).map(lineOf);

  it('succeeds if a token that was never issued is inactive, fails if it is active, and makes up another each time', async () => {
    server.answer = json({ active: false });
    expect(await check()).toEqual([`ok introspection: ${shown} says that an invented token is inactive`]);
    server.answer = json({ active: true });
    expect(await check()).toEqual([
      `FAIL introspection: ${shown} says that an invented token is active: it would accept any token`,
    ]);
    const tokens = server.received.map(({ body }) => new URLSearchParams(body).get('token'));
    expect(tokens).toEqual([expect.stringMatching(/^made-up-.{36}$/), expect.stringMatching(/^made-up-.{36}$/)]);
    expect(new Set(tokens).size).toBe(2);
  });

  it('fails with the reason, not with the error for apps', async () => {
    for (const status of [400, 401, 403]) {
      answerWith(status, '{"active":false}');
      expect(await check()).toEqual([
        `FAIL introspection: ${shown} refuses the client id and secret of the broker (HTTP ${status})`,
      ]);
      expect(fixOf((await resultsOf())[0])).toMatch(/_CLIENT_ID and .*_CLIENT_SECRET/);
    }
    answerWith(200, '{"active":"yes"}');
    expect(await check()).toEqual([
      `FAIL introspection: ${shown} answers with something else instead of JSON as in RFC 7662`,
    ]);
  });
});

describe('the check of sessions that were not issued for the broker', () => {
  const check = async (settings: object) => {
    const options = { mode: 'jwt', key: { secret: 'x'.repeat(32) }, ...settings, ...common } as const;
    return (await checkSessions(options, { clock: systemClock })).slice(1);
  };

  it('warns of both, with what one gives up', async () => {
    expect(await check({ issuer: ISSUER, audience: AUDIENCE })).toEqual([]);
    const risk = (detail: string, fix: string) => ({
      level: 'warn',
      name: { en: 'accepted sessions', zh: '接受的会话' },
      detail: { en: expect.stringContaining(detail), zh: expect.stringMatching(/\p{Script=Han}/u) },
      fix: { en: expect.stringContaining(fix), zh: expect.stringMatching(/\p{Script=Han}/u) },
    });
    const issuer = risk('SESSION_JWT_ISSUER is any: a session of any issuer', 'Set SESSION_JWT_ISSUER');
    const audience = risk('SESSION_JWT_AUDIENCE is any: every session', 'Set SESSION_JWT_AUDIENCE');
    expect(await check({ audience: AUDIENCE })).toEqual([issuer]);
    expect(await check({ issuer: ISSUER })).toEqual([audience]);
    expect(await check({})).toEqual([issuer, audience]);
    const client = { mode: 'introspection', clientId: 'broker', clientSecret: 'a secret' } as const;
    server.answer = json({ active: false });
    const [, ...risks] = await checkSessions({ ...client, url, ...common }, access);
    expect(risks).toEqual([risk('every active token', 'Set SESSION_INTROSPECTION_AUDIENCE or')]);
    expect(await checkSessions({ ...client, url, scopes: ['camera'], ...common }, access)).toHaveLength(1);
  });
});

describe('the check of a session server that gets the headers of the app', () => {
  const envelopes = { accepted: { path: 'code', values: ['200'] }, refused: { path: 'code', values: ['401'] } };
  const check = async (conditions: object = {}) => {
    const options = { mode: 'forward', url, ...conditions, ...common } as const;
    const [result, ...others] = await checkSessions(options, access);
    expect(others).toEqual([]);
    return { line: result && lineOf(result).replace(shown, 'URL'), fix: fixOf(result) };
  };
  const REFUSES = 'ok session server: URL refuses a request without a session';
  const OPEN = 'FAIL session server: URL answers a request without a session: anyone could get in';
  const unclear = (reason: string) => `FAIL session server: URL does not refuse a request without a session: ${reason}`;
  const NEITHER = 'The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED: it has';
  const NO_ACCOUNT = 'The claim sub in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)';

  it.each<[status: number, body: string, line: string, conditions?: object]>([
    [200, '{"sub":7,"region":"none"}', OPEN],
    [200, '{}', unclear(NO_ACCOUNT)],
    [302, '{}', unclear('The session server answered 302')],
    [403, '{"sub":"somebody"}', REFUSES],
    [200, '{"code":401,"msg":"log in"}', REFUSES, envelopes],
    [200, '{"code":200,"sub":"somebody"}', OPEN, envelopes],
    [200, '{"code":500}', unclear(`${NEITHER} code=500`), envelopes],
  ])('sends it no session, and judges its status %i with %s', async (status, body, line, conditions) => {
    answerWith(status, body);
    expect((await check(conditions)).line).toBe(line);
    expect(server.received).toHaveLength(1);
    const { method, headers } = server.received[0] ?? {};
    expect(method).toBe('GET');
    expect(headers).toEqual({
      accept: 'application/json',
      'user-agent': 'sdk-token-broker/1.2.3',
      host: new URL(server.origin).host,
      connection: 'keep-alive',
    });
  });

  it('names a cache if anyone could get in, and the settings for envelopes if an answer may be one', async () => {
    answerWith(200, '{"sub":"somebody"}');
    expect((await check()).fix).toContain('no cache between the broker and the server');
    answerWith(200, '{"code":401}');
    expect((await check()).fix).toMatch(/envelope.*SESSION_FORWARD_ACCEPTED and SESSION_FORWARD_REFUSED/);
    answerWith(302);
    expect((await check()).fix).not.toContain('envelope');
  });

  it('fails if the server cannot be reached', async () => {
    await server.stop();
    expect((await check()).line).toMatch(/^FAIL session server: nothing listens at /);
  });
});
