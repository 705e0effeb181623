import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import type { Environment } from '../../../src/config/environment.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

const KEYS = ['SESSION_JWT_JWKS_URL', 'SESSION_JWT_PUBLIC_KEY', 'SESSION_JWT_SECRET'] as const;
const HMAC_SECRET = 'canary-secret-of-at-least-32-bytes';
const PEM = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString();

const { SESSION_JWT_JWKS_URL: _, ...WITHOUT_KEY } = USABLE;
const { SESSION_JWT_ISSUER: _issuer, SESSION_JWT_AUDIENCE: _audience, ...WITHOUT_SESSIONS } = WITHOUT_KEY;
const INTROSPECTION = {
  ...WITHOUT_SESSIONS,
  SESSION_MODE: 'introspection',
  SESSION_INTROSPECTION_URL: 'https://accounts.example/introspect',
  SESSION_INTROSPECTION_CLIENT_ID: 'the broker: 1',
  SESSION_INTROSPECTION_CLIENT_SECRET: 'canary: secret',
};
const FORWARD = { ...WITHOUT_SESSIONS, SESSION_MODE: 'forward', SESSION_FORWARD_URL: 'http://cloud.example/whoami' };

test.each([
  [
    'introspection',
    [
      'SESSION_INTROSPECTION_URL is required: the http(s) URL of the introspection endpoint (RFC 7662), ' +
        'without a password in it',
      'SESSION_INTROSPECTION_CLIENT_ID is required: the client id of the broker at the OAuth server',
      'SESSION_INTROSPECTION_CLIENT_SECRET is required: the client secret of the broker, ' +
        'without white space, quotes or a byte order mark around it',
    ],
  ],
  [
    'forward',
    ['SESSION_FORWARD_URL is required: the http(s) URL that returns the claims of a session, without a password in it'],
  ],
])('mode %s reports all its missing settings, and none of another mode', (SESSION_MODE, problems) => {
  expect(problemsOf({ ...WITHOUT_SESSIONS, SESSION_MODE })).toEqual(problems);
});

describe('forward', () => {
  test('sends the authorization and cookie headers, if no others are configured; introspection sends none', () => {
    const { forwardedSession } = loadConfig(FORWARD);
    expect(forwardedSession).toEqual({ headers: ['authorization', 'cookie'], cookies: 'all' });
    expect(loadConfig(INTROSPECTION).forwardedSession).toBeUndefined();
  });

  test('sends named cookies only with the header of cookies', () => {
    const withoutHeader = { SESSION_FORWARD_COOKIES: 'sid', SESSION_FORWARD_HEADERS: 'authorization' };
    expect(problemsOf({ ...FORWARD, ...withoutHeader })).toEqual([
      'SESSION_FORWARD_COOKIES needs the header cookie in SESSION_FORWARD_HEADERS',
    ]);
  });

  test('refuses a value that both accepts and refuses a session', () => {
    const accepted = { SESSION_FORWARD_ACCEPTED: 'code=0|200' };
    expect(problemsOf({ ...FORWARD, ...accepted, SESSION_FORWARD_REFUSED: 'code=401|200' })).toEqual([
      'SESSION_FORWARD_REFUSED has the value 200, which SESSION_FORWARD_ACCEPTED has too',
    ]);
    for (const refused of ['code=401', 'data.code=200']) {
      expect(problemsOf({ ...FORWARD, ...accepted, SESSION_FORWARD_REFUSED: refused })).toEqual([]);
    }
  });
});

test('an unknown mode is the only problem, because the required settings depend on the mode', () => {
  expect(problemsOf({ ...INTROSPECTION, SESSION_MODE: 'oauth' })).toEqual([
    'SESSION_MODE must be one of jwt, introspection, forward, not "oauth"',
  ]);
});

describe('the key that verifies sessions', () => {
  test.each([[[KEYS[0], KEYS[1]]], [[KEYS[0], KEYS[2]]], [[KEYS[1], KEYS[2]]], [[...KEYS]]])(
    'must not be set as %s at once',
    (names) => {
      const all = { SESSION_JWT_JWKS_URL: 'not a URL', SESSION_JWT_PUBLIC_KEY: PEM, SESSION_JWT_SECRET: HMAC_SECRET };
      const problems = problemsOf({ ...WITHOUT_KEY, ...Object.fromEntries(names.map((name) => [name, all[name]])) });
      expect(problems).toContain(
        `${KEYS.join(', ')}: set only one of them, otherwise a forged session might be accepted`,
      );
    },
  );

  test('that is not valid is reported with all other problems, by name and without its value', () => {
    const [short, port] = problemsOf({ ...WITHOUT_KEY, SESSION_JWT_SECRET: 'canary', PORT: 'x' }).toReversed();
    expect(short).toMatch(/^SESSION_JWT_SECRET: .*at least 32 bytes/);
    expect(port).toMatch(/^PORT /);
    const [noPem] = problemsOf({ ...WITHOUT_KEY, SESSION_JWT_PUBLIC_KEY: 'canary' });
    expect(noPem).toMatch(/^SESSION_JWT_PUBLIC_KEY: .*-----BEGIN PUBLIC KEY-----/);
    expect(`${short}${noPem}`).not.toContain('canary');
  });

  test('excludes algorithms that do not fit it', () => {
    const problemOf = (key: Environment, algorithms: string) =>
      problemsOf({ ...WITHOUT_KEY, ...key, SESSION_JWT_ALGORITHMS: algorithms })[0];
    const ofJwks = problemOf(
      { SESSION_JWT_JWKS_URL: 'https://accounts.customer.example/jwks.json' },
      'ES256,HS256,none',
    );
    expect(ofJwks).toMatch(/^SESSION_JWT_ALGORITHMS must be .*PS512, ES256, ES384, ES512, EdDSA\), not HS256, none$/);
    expect(problemOf({ SESSION_JWT_SECRET: HMAC_SECRET }, 'RS256')).toMatch(/\(HS256, HS384, HS512\), not RS256$/);
    expect(problemOf({ SESSION_JWT_PUBLIC_KEY: PEM }, 'HS256')).toMatch(/, not HS256$/);
  });
});
