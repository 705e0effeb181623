import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CompactSign } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { CheckResult } from '../../../src/commands/checks/check-result.ts';
import { checkSession, headersIn, readSession } from '../../../src/commands/checks/given-session.ts';
import type { ForwardedSession } from '../../../src/http/credentials.ts';
import type { SessionOptions } from '../../../src/session/session-verifier.ts';
import { accountId } from '../../../src/token/subject.ts';
import type { Text } from '../../../src/token/text.ts';
import { START_MS, TestClock } from '../../support/test-clock.ts';
import { json, recordingServer } from '../session/recording-server.ts';
import {
  ACCOUNT,
  AUDIENCE,
  CLAIM_NAMES,
  claimsWith,
  ISSUER,
  newSigner,
  SECRET,
  START_SECONDS,
  signWithSecret,
} from '../session/sessions.ts';

const JWT: SessionOptions = {
  mode: 'jwt',
  key: { secret: SECRET },
  issuer: ISSUER,
  audience: AUDIENCE,
  claims: CLAIM_NAMES,
  cacheSeconds: 30,
};

/** Checks a session, and asserts that no result shows it. `lines` are the results as text. */
async function check(
  options: SessionOptions,
  session: string,
  forwardedSession?: ForwardedSession,
  defaultRegion?: string,
) {
  const settings = { forwardedSession, defaultRegion, apps: ['ios', 'android'] };
  const results = await checkSession(options, settings, headersIn(session), { clock: new TestClock() });
  for (const part of [session, ...session.split('.').filter((one) => one.length > 20)]) {
    expect(JSON.stringify(results)).not.toContain(part);
  }
  for (const { name, detail } of results) expect(`${name.en}${detail.en}`).toMatch(/^[\x20-\x7e…]+$/);
  const lines = results.map(({ level, name, detail }) => `${level} ${name.en}: ${detail.en}`);
  const withLevel = (level: 'warn' | 'FAIL') =>
    results.filter((result): result is Extract<CheckResult, { fix: Text }> => result.level === level);
  const failed = withLevel('FAIL');
  return {
    lines,
    failed: failed.map(({ name }) => name.en),
    namesInChinese: results.map(({ name }) => name.zh),
    fixes: failed.map(({ fix }) => fix.en),
    inChinese: results.map(({ detail }) => detail.zh),
    warnings: withLevel('warn').map(({ level, name, detail, fix }) => {
      return { level, name: name.en, detail: detail.en, fix: fix.en };
    }),
  };
}

const session = (claims: Record<string, unknown> = {}) => signWithSecret(SECRET, 'HS256', {}, claimsWith(claims));

describe('a JWT', () => {
  test('with a time that no date has is shown without one', async () => {
    const { lines } = await check(JWT, await session({ exp: 1e17 }));
    expect(lines.join('\n')).toMatch(/ session exp: 100000000000000000(?! \()/);
  });

  test('that is accepted: who it is, and each claim', async () => {
    const { lines, failed, namesInChinese } = await check(JWT, await session({ region: 'de', iat: START_SECONDS - 5 }));
    expect(failed).toEqual([]);
    expect(namesInChinese[0]).toBe('会话 签名');
    expect(namesInChinese).toContain('会话 exp');
    expect(lines).toContain('ok session signature: HS256');
    expect(lines).toContain(`ok session iss: ${ISSUER}`);
    expect(lines).toContain(`ok session sub: ${ACCOUNT}`);
    expect(lines).toContain(`ok session exp: ${START_SECONDS + 60} (2027-01-15T08:01:00.000Z)`);
    expect(lines.at(-1)).toBe(
      `ok session: accepted: account ${ACCOUNT} (digest ${accountId(ACCOUNT)}), country DE, ends in 60 s`,
    );
  });

  const WITH_APP = { ...JWT, claims: { ...CLAIM_NAMES, app: 'app' } };
  const inMs = { ...JWT, claims: { ...CLAIM_NAMES, timeUnit: 'ms' } } as const;

  test.each([
    ['another audience', { aud: 'other' }, 'aud', / SESSION_JWT_AUDIENCE\./],
    ['another issuer', { iss: 'https://other.example' }, 'iss', / SESSION_JWT_ISSUER\./],
    ['an end in the past', { exp: START_SECONDS - 10 }, 'exp', /new session/],
    ['no end', { exp: undefined }, 'exp', / SESSION_CLAIM_EXPIRES_AT\./],
    ['no account', { sub: undefined }, 'sub', /^Add the claim sub .* SESSION_CLAIM_UNION_ID\.$/],
    ['an account that means nobody', { sub: 'anonymousUser' }, 'sub', /^Correct the value of the claim sub /],
    ['a wrong account', { sub: 0.5 }, 'sub', /^Correct the value of the claim sub .* SESSION_CLAIM_UNION_ID\.$/],
    ['a country that is none', { region: 'UK' }, 'region', /^Correct .* claim region .* SESSION_CLAIM_REGION\.$/],
    ['a name that no app has', { app: 'not an app' }, 'app', /^Correct .* claim app .* SESSION_CLAIM_APP\./, WITH_APP],
    ['a start in the future', { nbf: START_SECONDS + 90 }, 'nbf', /clock/],
    ['a bound key', { cnf: { jkt: 'x' } }, 'kind of token', /access token/],
    ['an end in milliseconds', { exp: START_MS + 60_000 }, 'exp', /SESSION_CLAIM_TIME_UNIT=ms/],
    ['a time of issue in milliseconds', { iat: START_MS }, 'iat', /SESSION_CLAIM_TIME_UNIT=ms/],
    ['an end in seconds where a setting says milliseconds', {}, 'exp', /SESSION_CLAIM_TIME_UNIT=s/, inMs],
  ] as const)('with %s: the claim, and how to fix it', async (_, claims, name, fix, options: SessionOptions = JWT) => {
    const { failed, fixes } = await check(options, await session(claims));
    expect(failed).toEqual([`session ${name}`, 'session']);
    expect(fixes[0]).toMatch(fix);
    expect(fixes.join('\n')).not.toContain('INTROSPECTION');
    expect(fixes.at(-1)).toBe('See the lines above.');
  });

  test('bound to an app that is not configured: refused as every read is, with the names of the apps', async () => {
    const { failed, lines, fixes, inChinese } = await check(WITH_APP, await session({ app: 'iOS' }));
    expect(failed).toEqual(['session app', 'session']);
    expect(lines).toContain('FAIL session app: iOS: The session is bound to an app that is not configured');
    expect(lines.at(-1)).toBe(
      'FAIL session: refused with session_forbidden: The session is bound to an app that is not configured',
    );
    expect(fixes[0]).toMatch(/Correct the value of the claim app.*Configured apps: ios, android\.$/);
    expect(fixes.at(-1)).toBe('See the lines above.');
    expect(inChinese).toContain('iOS：会话绑定的 App 没有配置');
    const configured = await check(WITH_APP, await session({ app: 'ios' }));
    expect(configured.failed).toEqual([]);
    expect(configured.lines.at(-1)).toContain('app ios');
  });

  test('that has expired and names an app that is not configured: both', async () => {
    const { failed, lines } = await check(WITH_APP, await session({ app: 'iOS', exp: START_SECONDS - 10 }));
    expect(failed).toEqual(['session exp', 'session app', 'session']);
    expect(lines.at(-1)).toContain('refused with session_expired');
  });

  test.each([
    [
      'the app that a setting names',
      { region: 'DE', iat: START_SECONDS },
      WITH_APP,
      'session app',
      'not there: the session is valid for every app',
      /SESSION_CLAIM_APP.*Configured apps: ios, android\.$/,
    ],
    [
      'a time of issue',
      { region: 'DE' },
      JWT,
      'session iat',
      'not there: after an erasure of its account, the broker refuses it and all later ones for 400 days',
      /SESSION_CLAIM_ISSUED_AT/,
    ],
    [
      'a country',
      { iat: START_SECONDS },
      JWT,
      'session region',
      'not there: the first request of its account gets 400 request_invalid, unless the app sends regRegion',
      /SESSION_CLAIM_REGION.*DEFAULT_REGION/,
    ],
  ])('without %s: accepted, with a warning of the consequence', async (_, claims, options, name, detail, fix) => {
    const { warnings, failed } = await check(options, await session(claims));
    expect(failed).toEqual([]);
    expect(warnings).toEqual([{ level: 'warn', name, detail, fix: expect.stringMatching(fix) }]);
  });

  test.each([
    ['bob@example.com', 'an e-mail address'],
    ['+44 20 7946 0958', 'a phone number'],
    ['13800138000', 'a phone number'],
    ['+86-138-0013-8000', 'a phone number'],
    [13_800_138_000, 'a phone number'],
    ['7f3c9a', undefined],
    [1_767_225_600_123, undefined],
    ['12800138000', undefined],
    ['bob@home', undefined],
  ])('of the account %s: a warning if its next owner would get the account', async (sub, kind) => {
    const { warnings, lines } = await check(JWT, await session({ sub, iat: START_SECONDS, region: 'DE' }));
    expect(lines.at(-1)).toContain('accepted');
    const warning = {
      level: 'warn',
      name: 'session sub',
      detail: expect.stringContaining(`: it looks like ${kind}: the vendor gets it as unionId`),
      fix: expect.stringMatching(/SESSION_CLAIM_UNION_ID\.$/),
    };
    expect(warnings).toEqual(kind === undefined ? [] : [warning]);
  });

  test('with a wrong signature: that, although its claims are right', async () => {
    const forged = await signWithSecret('another-secret-of-at-least-32-bytes-long', 'HS256', {}, claimsWith());
    const { failed, lines, fixes } = await check(JWT, forged);
    expect(failed).toEqual(['session signature', 'session']);
    expect(lines[0]).toContain('The signature of the session is wrong');
    expect(fixes[0]).toContain('SESSION_JWT_SECRET');
  });

  test('with a key that is not published: that, and the name of the key', async () => {
    const [published, other] = [await newSigner('ES256', 'k1'), await newSigner('ES256', 'k2')];
    const server = await recordingServer(json({ keys: [published.jwk] }));
    const options = { ...JWT, key: { jwksUrl: new URL('/jwks', server.origin) } };
    expect((await check(options, await published.sign())).failed).toEqual([]);
    const { failed, lines } = await check(options, await other.sign());
    expect(failed).toEqual(['session signature', 'session']);
    expect(lines).toContain('ok session kid: k2');
  });

  test('with times in milliseconds at paths: their dates', async () => {
    const names = { ...CLAIM_NAMES, issuedAt: 'login.at', expiresAt: 'login.until', timeUnit: 'ms' } as const;
    const login = { at: START_MS - 1, until: START_MS + 60_000 };
    const times = { login, exp: undefined, nbf: START_SECONDS };
    const { lines, failed } = await check({ ...JWT, claims: names }, await session(times));
    expect(failed).toEqual([]);
    expect(lines).toContain(`ok session nbf: ${START_SECONDS} (2027-01-15T08:00:00.000Z)`);
    expect(lines).toContain(`ok session login.at: ${START_MS - 1} (2027-01-15T07:59:59.999Z)`);
    expect(lines).toContain(`ok session login.until: ${START_MS + 60_000} (2027-01-15T08:01:00.000Z)`);
  });

  test('with a number as its account: all its digits', async () => {
    const id = '9223372036854775807';
    const payload = Buffer.from(JSON.stringify(claimsWith({ sub: 0 })).replace('"sub":0', `"sub":${id}`));
    const jwt = await new CompactSign(payload).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SECRET));
    const { lines } = await check(JWT, jwt);
    expect(lines).toContain(`ok session sub: ${id}`);
    expect(lines.at(-1)).toContain(`accepted: account ${id} (digest ${accountId(id)})`);
  });

  test('that is none: the reason', async () => {
    const { lines, fixes } = await check(JWT, 'opaque-session-of-somebody');
    expect(lines).toEqual(['FAIL session: refused with session_invalid: The session is not a signed JWT']);
    expect(fixes).toEqual([expect.stringContaining('SESSION_MODE=jwt expects')]);
  });

  test('with claims that would control the terminal: in visible characters', async () => {
    await check(JWT, await session({ aud: '\u001b[2J\u009bé', sub: 'x'.repeat(500) }));
  });
});

describe('an opaque token', () => {
  const introspectionAt = async (answer: object) => {
    const server = await recordingServer(json(answer));
    const client = { clientId: 'broker', clientSecret: 'client-secret-canary' };
    const url = new URL('/introspect', server.origin);
    const options: SessionOptions = {
      mode: 'introspection',
      ...{ url, ...client, audience: 'broker', claims: CLAIM_NAMES, cacheSeconds: 30 },
    };
    return options;
  };

  test('that is not active, or has another audience: that', async () => {
    const inactive = await check(await introspectionAt({ active: false }), 'opaque-session-of-somebody');
    expect(inactive.failed).toEqual(['session active', 'session']);
    const foreign = await introspectionAt({ active: true, aud: 'other', sub: ACCOUNT });
    const { failed, fixes } = await check(foreign, 'opaque-session-of-somebody');
    expect(failed).toEqual(['session aud', 'session']);
    expect(fixes[0]?.match(/SESSION_\w+/g)).toEqual(['SESSION_INTROSPECTION_AUDIENCE']);
  });
});

describe('headers', () => {
  const forwarded = { headers: ['cookie'], cookies: ['sid'] } as const;
  const COOKIE = 'sid=session-cookie-canary';

  async function forwardTo(status: number, answer: object) {
    const server = await recordingServer((_request, response) =>
      response.writeHead(status).end(JSON.stringify(answer)),
    );
    const options: SessionOptions = {
      mode: 'forward',
      url: new URL(server.origin),
      claims: CLAIM_NAMES,
      cacheSeconds: 30,
    };
    return { server, options };
  }

  test('that the session server does not judge say what it answered instead', async () => {
    const { options } = await forwardTo(500, {});
    const { lines, fixes } = await check(options, `Cookie: ${COOKIE}`, forwarded);
    expect(lines).toEqual([
      expect.stringMatching(/^FAIL session: refused with session_check_unavailable: .*answered 500/),
    ]);
    expect(fixes).toEqual([expect.stringContaining('Correct the URL of the session server')]);
    const nobody = { ...options, url: new URL('http://127.0.0.1:9') };
    const unreached = await check(nobody, `Cookie: ${COOKIE}`, forwarded);
    expect(unreached.fixes).toEqual([expect.stringContaining('SESSION_FORWARD_URL')]);
  });

  test('without the country and the end that settings name: which one counts', async () => {
    const { options } = await forwardTo(200, { sub: ACCOUNT, iat: START_SECONDS });
    const claims = { ...options.claims, expiresAt: 'until' };
    const { lines, warnings } = await check({ ...options, claims }, `Cookie: ${COOKIE}`, forwarded, 'FR');
    expect(lines.at(-1)).toContain('country FR (DEFAULT_REGION), no end');
    expect(warnings).toEqual([expect.objectContaining({ name: 'session until' })]);
    expect((await check(options, `Cookie: ${COOKIE}`, forwarded, 'FR')).warnings).toEqual([]);
  });

  test('go to the session server as the broker forwards them, and nothing else does', async () => {
    const { server, options } = await forwardTo(200, { sub: ACCOUNT });
    const text = `Host: app.example\nCookie: other=1; ${COOKIE}\nUser-Agent: app`;
    expect((await check(options, text, forwarded)).lines.at(-1)).toContain(`accepted: account ${ACCOUNT}`);
    for (const { headers } of server.received) {
      expect(headers.cookie).toBe(COOKIE);
      expect(headers['user-agent']).not.toBe('app');
    }
  });

  test('with a time that is no number: the claim, and how to fix it, although the session cannot be checked', async () => {
    const { options } = await forwardTo(200, { sub: ACCOUNT, iat: 'yesterday' });
    const { lines, failed, fixes } = await check(options, `Cookie: ${COOKIE}`, forwarded);
    expect(failed).toEqual(['session iat', 'session']);
    expect(lines).toContain('FAIL session iat: yesterday: The claim iat in the answer is not a number');
    expect(lines.at(-1)).toContain('session_check_unavailable');
    expect(fixes[0]).toContain('Issue sessions with iat in seconds since 1970');
  });

  test('that the session server refuses: its status, and that only the cloud knows the reason', async () => {
    const { options } = await forwardTo(401, {});
    const { lines, fixes } = await check(options, `Cookie: ${COOKIE}`, forwarded);
    expect(lines).toEqual([
      'FAIL session: refused with session_invalid: The session server refused the session with status 401',
    ]);
    expect(fixes).toEqual([
      expect.stringMatching(/^Only your cloud knows the reason: look in its log.* SESSION_FORWARD_HEADERS\.$/),
    ]);
  });

  test('that get an answer without an account: that it is missing, and both ways to fix it', async () => {
    const { options } = await forwardTo(200, { code: 401, data: null });
    const { failed, lines, fixes } = await check(options, `Cookie: ${COOKIE}`, forwarded);
    expect(failed).toEqual(['session sub', 'session']);
    expect(lines).toContain(
      'FAIL session sub: not there: The claim sub in the answer is missing. It is the account (SESSION_CLAIM_UNION_ID)',
    );
    expect(fixes[0]).toMatch(/SESSION_CLAIM_UNION_ID.*SESSION_FORWARD_ACCEPTED/);
  });

  test.each([
    [{ code: 401 }, '401: The session server refused the session with code=401', 'session_invalid'],
    [
      { data: { id: 7 } },
      'not there: The answer meets neither SESSION_FORWARD_ACCEPTED nor SESSION_FORWARD_REFUSED: it has no code',
      'session_check_unavailable',
    ],
  ])('that get the envelope %j: what it says', async (answer, problem, code) => {
    const { options } = await forwardTo(200, answer);
    const conditions = { accepted: { path: 'code', values: ['200'] }, refused: { path: 'code', values: ['401'] } };
    const { failed, lines, fixes } = await check({ ...options, ...conditions }, `Cookie: ${COOKIE}`, forwarded);
    expect(failed).toEqual(['session code', 'session']);
    expect(lines).toContain(`FAIL session code: ${problem}`);
    expect(lines.at(-1)).toContain(`refused with ${code}`);
    expect(fixes[0]).toContain('SESSION_FORWARD_ACCEPTED');
  });

  test('without the session: which ones are missing', async () => {
    const { options } = await forwardTo(200, { sub: ACCOUNT });
    const { lines, fixes } = await check(options, 'User-Agent: app', forwarded);
    expect(lines).toEqual([expect.stringMatching(/^FAIL session: refused with session_missing: .*cookie/)]);
    expect(fixes).toEqual([
      expect.stringMatching(/printf 'Cookie: %s' .* another header, .* SESSION_FORWARD_HEADERS\.$/),
    ]);
  });

  test('may be lines, or a bearer token alone', () => {
    expect(headersIn('Authorization: Bearer a.b.c\r\naccess_token: 7')).toEqual({
      authorization: 'Bearer a.b.c',
      access_token: '7',
    });
    for (const text of ['a.b.c', 'Bearer a.b.c']) expect(headersIn(text)).toEqual({ authorization: 'Bearer a.b.c' });
  });
});

test('a session is read from a file; an empty or missing file is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'check-session-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'session');
  const terminal = Object.assign(Readable.from([]), { isTTY: true });
  const read = (path: string) => readSession(path, terminal, () => expect.unreachable('a prompt'));
  await writeFile(file, ' a.b.c\n');
  expect(await read(file)).toEqual({ authorization: 'Bearer a.b.c' });
  await writeFile(file, '\n');
  await expect(read(file)).rejects.toThrow('there is no session in the input');
  await expect(read(join(folder, 'none'))).rejects.toThrow('cannot be read');
});

test.each([
  ['a terminal', true, [expect.stringContaining('Paste the session')]],
  ['no terminal', undefined, []],
])('a session is read from standard input that is %s: a prompt only on a terminal', async (_, isTTY, prompts) => {
  const stdin = Object.assign(Readable.from([Buffer.from('Cookie: sid=1\n')]), { isTTY });
  const err: string[] = [];
  expect(await readSession('-', stdin, (line) => err.push(line))).toEqual({ cookie: 'sid=1' });
  expect(err).toEqual(prompts);
});
