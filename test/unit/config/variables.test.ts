import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { ConfigError } from '../../../src/config/environment.ts';
import { text } from '../../../src/config/value-schemas.ts';
import { VARIABLES, type Variable, type VariableName } from '../../../src/config/variables.ts';
import { wellFormedText } from '../../support/any-text.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

const names = Object.keys(VARIABLES) as VariableName[];
const secrets = names.filter((name) => 'secret' in VARIABLES[name]);
const KEY = Buffer.alloc(32, 7).toString('base64');
const SHORT_KEY = Buffer.alloc(31, 7).toString('base64');

const LONG = 'abcdefghijklmnop';

const SECRET = 'canary-secret-of-at-least-32-bytes';
/** What a file or a shell may add around a secret. */
const wrapped = (secret: string) => [
  ` ${secret}`,
  `${secret} `,
  `${secret}\u00a0`,
  `\ufeff${secret}`,
  `"${secret}"`,
  `'${secret}'`,
  '  ',
  '\ufeff',
];

const IOS = { appId: 'app-ios', appToken: 'canary-ios-token', appKey: 'canary-ios-key' };
const ADDRESSES = [
  '[::1]',
  '127.0.0.1:80',
  'http://127.0.0.1',
  '*',
  '/run/broker.sock',
  '127.0.0.1,127.0.0.2',
  '-',
  '\u001b[31m',
  'x'.repeat(254),
];
const PATHS = ['..a.', 'a..b', '.', '.a', 'a.', ' ', 'a. .b'];
const CONDITIONS = [
  'code',
  ...['', ' ', '.', 'data..code', '.code', 'code.'].map((path) => `${path}=200`),
  'code=',
  'code=200|',
  'code=|200',
];

const PROXIES = [
  'socks5://proxy.example:1080',
  'ftp://proxy.example',
  'http://user@proxy.example:3128',
  'http://user:canary@ss:word@proxy.example:3128/#',
  'http://user:100%@proxy.example:3128',
  'http://user:can#ary@proxy.example:3128',
  'http://proxy.example:3128/path',
  'http://proxy.example:3128?x',
  'proxy.example:port',
  'http://:3128',
  '"http://proxy.example:3128"',
];

/** Values that are refused, of each setting that does not take any text. */
const BAD: Readonly<Partial<Record<VariableName, readonly string[]>>> = {
  PORT: ['65536', '-1', '80.5', '0x50', '1e3', ' 80', 'http', '٣'],
  HOST: ADDRESSES,
  ADMIN_HOST: ADDRESSES,
  ADMIN_PORT: ['65536', '-1', 'off'],
  ADMIN_HOST_NAMES: ['*', 'broker.example:9090', 'http://broker.example', 'a..b,', '-a'],
  ADMIN_TOKEN: [
    'sixteen or more words',
    'abcdefgh,ijklmnop',
    `ä${LONG}`,
    '='.repeat(16),
    `a=${LONG}`,
    `${LONG}\n`,
    `"${LONG}"`,
    'x',
    '123456789012345',
  ],
  ADMIN_TOKENS: [
    LONG,
    `:${LONG}`,
    `a b:${LONG}`,
    'ops:x',
    'ops:123456789012345',
    `ops:${LONG},`,
    `ops:${LONG},ops:${LONG}x`,
    `ops:${LONG},cloud:${LONG}`,
    `ops:${LONG},cloud:x`,
  ],
  LOG_LEVEL: ['INFO', 'verbose', '30'],
  API_DOCS: ['yes', '1', 'TRUE', 'off'],
  VENDOR_BASE_URL: [
    'vendor.example',
    'ftp://vendor.example',
    'https://',
    'https://user@vendor.example',
    '//vendor.example',
    'https://vendor.example/?tenant=1',
    'https://vendor.example/#top',
  ],
  VENDOR_REGION_URLS: [
    '{"CN":"https://a.example","UK":"https://b.example"}',
    '{"XK":"https://a.example"}',
    'CN',
    '[]',
    'null',
    '"x"',
    '{"cn":"https://a.example"}',
    '{"CHN":"https://a.example"}',
    '{"CN":1}',
    '{"CN":"a"}',
    '{"CN":"https://a.example/?tenant=1"}',
    '{"CN":"https://a.example","CN":"https://b.example"}',
  ],
  VENDOR_APP_ID: ['demo\n', ' demo', 'de mo', 'démo', 'demo\u2028', '\u0000'],
  VENDOR_ACCESS_ID: ['demo\n', '\tdemo', '令牌'],
  VENDOR_APP_TOKEN: ['canary\n', 'canary\r', 'can\u0000ary', 'canary\u007f', ...wrapped(SECRET)],
  VENDOR_APP_KEY: ['canary\n', '\tcanary', ...wrapped(SECRET)],
  VENDOR_APPS: [
    'ios',
    'null',
    '{}',
    '[]',
    'canary',
    '"canary"',
    '{"canary"',
    JSON.stringify({ ios: { ...IOS, appKey: '' } }),
    JSON.stringify({ ios: { ...IOS, appKey: undefined } }),
    JSON.stringify({ ios: { ...IOS, appKey: 7 } }),
    JSON.stringify({ ios: { ...IOS, accessId: '' } }),
    JSON.stringify({ ios: { ...IOS, canary: 'canary' } }),
    `{"ios":${JSON.stringify(IOS)},"ios":${JSON.stringify({ ...IOS, accessId: 'access-1' })}}`,
    `{"ios":{"appKey":"canary",${JSON.stringify(IOS).slice(1)}}`,
    JSON.stringify({ 'canary ios': IOS }),
    JSON.stringify({ ['canary'.repeat(11)]: IOS }),
    JSON.stringify({ ios: { ...IOS, appId: 'canary\n' } }),
    JSON.stringify({ ios: { ...IOS, accessId: 'canary ios' } }),
    JSON.stringify({ ios: { ...IOS, appToken: 'canary\n' } }),
    JSON.stringify({ ios: { ...IOS, appKey: 'canary\r' } }),
    JSON.stringify({ ios: { ...IOS, appToken: ' canary' } }),
    JSON.stringify({ ios: { ...IOS, appKey: '\ufeffcanary' } }),
    JSON.stringify({ ios: { ...IOS, appKey: '"canary"' } }),
    '{"":{}}',
    `{"__proto__":${JSON.stringify(IOS)}}`,
  ],
  VENDOR_MAX_RPS: ['-1', '10001', '0.5', '10/s'],
  VENDOR_TIMEOUT_MS: ['99', '60001', '5s'],
  SESSION_MODE: ['oauth', 'JWT', 'jwt,forward'],
  SESSION_JWT_JWKS_URL: ['jwks.json', 'file:///jwks.json', 'https://:pass@accounts.example/jwks.json'],
  SESSION_JWT_SECRET: [
    ...wrapped(SECRET),
    ' '.repeat(37),
    `${SECRET}\n ${SECRET}`,
    `${SECRET} \n${SECRET}`,
    `"${SECRET}\n${SECRET}"`,
    `"${SECRET}"\n"${SECRET}"`,
  ],
  SESSION_JWT_ALGORITHMS: ['ES256,', 'ES256 RS256', 'HS-256'],
  SESSION_INTROSPECTION_URL: [
    '/introspect',
    'ftp://accounts.example',
    'https://client:secret@accounts.example/introspect',
  ],
  SESSION_INTROSPECTION_CLIENT_SECRET: wrapped(SECRET),
  SESSION_INTROSPECTION_SCOPE: [' ', '"cam"', 'c\u00e4m'],
  SESSION_FORWARD_URL: ['whoami.php', 'file:///whoami.php', 'https://user@cloud.example/whoami'],
  SESSION_FORWARD_HEADERS: [
    'cookie,',
    'x session',
    'x:session',
    'x-sé',
    ',',
    'Host',
    'cookie,connection',
    'content-length',
    'TE',
    'upgrade',
    'cookie,User-Agent',
    'accept',
    'accept-encoding',
  ],
  SESSION_FORWARD_COOKIES: ['a b', 'sid,', 'sid=1'],
  SESSION_CLAIM_UNION_ID: PATHS,
  SESSION_CLAIM_REGION: PATHS,
  SESSION_CLAIM_APP: PATHS,
  SESSION_CLAIM_ISSUED_AT: PATHS,
  SESSION_CLAIM_EXPIRES_AT: PATHS,
  SESSION_CLAIM_TIME_UNIT: ['S', 'seconds', 'us'],
  SESSION_FORWARD_ACCEPTED: CONDITIONS,
  SESSION_FORWARD_REFUSED: CONDITIONS,
  SESSION_CACHE_SECONDS: ['3601', '-1', '30s'],
  HTTPS_PROXY: PROXIES,
  HTTP_PROXY: PROXIES,
  NO_PROXY: [
    '*,x',
    'http://x',
    'x:80',
    '192.168.*',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    'x/8',
    '[::1',
    '<local>',
  ],
  DEFAULT_REGION: ['cn', 'CHN', 'C', 'C1', 'CN\n', 'ZZ', 'EU', 'UK'],
  REDIS_URL: [...wrapped('redis://:canary@redis.example'), 'redis-sentinel://a:1/name '],
  REDIS_KEY_PREFIX: ['{a', 'a}', '{}', '{a}b', 'a b', 'ä', 'a'.repeat(65)],
  TOKEN_ENCRYPTION_KEYS: [
    KEY,
    `k1:${SHORT_KEY}`,
    `k1:${KEY},`,
    `k1:${KEY},k1:${KEY}`,
    `:${KEY}`,
    'OFF',
    `k1:${KEY.replace('=', '')}`,
  ],
  TERMINAL_POLICY: ['one', 'MULTI'],
  TERMINALS_PER_ACCOUNT: ['0', '1001', '∞'],
  REFRESH_MODE: ['eager', 'on demand'],
  REFRESH_AT: ['0.7', '0.9-0.7', '0-0.5', '0.0-0.5', '0.5-1', '70-90', '0.7 - 0.9'],
  REFRESH_UNREAD_LIMIT: ['0', '256'],
  RATE_LIMIT_PER_MINUTE: ['-1', '1000001', '60/min', 'off'],
  LOGIN_LIMIT_PER_HOUR: ['-1', '1000001', '60/h', 'off'],
  CACHE_MAX_MB: ['0', '2049', '64MB'],
  OTEL_EXPORTER_OTLP_ENDPOINT: ['collector:4318', 'grpc://collector'],
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ['http://key@collector/v1/traces'],
  OTEL_EXPORTER_OTLP_HEADERS: ['secret', 'a b=c', 'a=%', 'a=%0A', 'a=ü'],
  OTEL_RESOURCE_ATTRIBUTES: ['production', '=b', 'a=%E0%A4%A'],
  OTEL_TRACES_SAMPLER: ['on', 'jaeger_remote', 'ALWAYS_ON'],
  OTEL_TRACES_SAMPLER_ARG: ['1.1', '-0.1', '10%', '1e-1'],
  OTEL_TRACES_EXPORTER: ['jaeger', 'otlp,console'],
  OTEL_SDK_DISABLED: ['yes', 'TRUE'],
};

describe.each(Object.entries(BAD))('%s', (name, values) => {
  test.each(values)('must not be %j: the problem says what is allowed, and shows no secret', (value) => {
    const keys = name === 'SESSION_JWT_SECRET' ? { SESSION_JWT_JWKS_URL: '' } : {};
    const [problem, ...others] = problemsOf({ ...USABLE, ...keys, [name]: value });
    expect(problem?.startsWith(`${name} must be ${VARIABLES[name as VariableName].allowed.en}`)).toBe(true);
    expect(problem).not.toContain('canary');
    expect(others).toEqual([]);
  });
});

test.each(['canary', 'canary "quoted" and more', '"', 'it’s 5 o’clock'])(
  'a secret may hold quotes and white space inside: %s',
  (secret) => expect(problemsOf({ ...USABLE, VENDOR_APP_TOKEN: secret, VENDOR_APP_KEY: secret })).toEqual([]),
);

/** A file that holds a secret, until the end of the test. */
function fileWith(content: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'secret-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'secret');
  writeFileSync(file, content);
  return file;
}

test.each([
  ['\n', 0],
  ['\r\n', 0],
  ['\n\n', 1],
  [' \n', 1],
] as const)('a file with a secret may end with one line end: after %j there are %i problems', (end, problems) => {
  const file = fileWith(SECRET + end);
  const { SESSION_JWT_JWKS_URL: _, VENDOR_APP_KEY: _key, ...others } = USABLE;
  const found = problemsOf({ ...others, VENDOR_APP_KEY_FILE: file, SESSION_JWT_SECRET_FILE: file });
  expect(found).toHaveLength(2 * problems);
});

test.each([
  ['that is no text', () => fileWith(Buffer.from(`${SECRET}\xff`, 'latin1'))],
  ['that is empty', () => fileWith('\n')],
  ['that is a device', () => '/dev/zero'],
  ['that is a folder', () => '/dev'],
])('a file with a secret %s is refused, with its name', (_, start) => {
  const { VENDOR_APP_KEY: _key, ...others } = USABLE;
  const path = start();
  expect(problemsOf({ ...others, VENDOR_APP_KEY_FILE: path })).toEqual([
    `VENDOR_APP_KEY_FILE must name a regular file with UTF-8 text that is not empty, not ${path}`,
  ]);
});

test('a file with a secret that only its owner may read is refused, with the user that needs the right', () => {
  const path = fileWith(SECRET);
  chmodSync(path, 0);
  // Root may read every file.
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(1000);
  onTestFinished(() => void (isRoot && process.seteuid?.(0)));
  const { VENDOR_APP_KEY: _key, ...others } = USABLE;
  expect(problemsOf({ ...others, VENDOR_APP_KEY_FILE: path })).toEqual([
    `VENDOR_APP_KEY_FILE names a file that cannot be read (EACCES): give the user ${process.geteuid?.()} the right to read it, and to enter its folder`,
  ]);
});

test('every setting that does not take any text is refused with a wrong value', () => {
  const restricted = names.filter((name) => VARIABLES[name].schema !== text);
  expect(new Set(Object.keys(BAD))).toEqual(new Set(restricted));
});

/** `docker run --env-file` keeps quotes. The broker then refused each session, or ignored a claim, and `check` passed. */
const notJson = names.filter((name) => !secrets.includes(name) && name !== 'VENDOR_REGION_URLS');
test.each(notJson)('nothing may stand around the value of %s', (name) => {
  const variable: Variable<unknown> = VARIABLES[name];
  const value = USABLE[name] ?? variable.default ?? 'value';
  for (const text of wrapped(value)) {
    const [problem, ...others] = problemsOf({ ...USABLE, [name]: text });
    expect(problem).toMatch(
      new RegExp(`^${name} must be .*, without white space, quotes or a byte order mark around it(, not ".*")?$`),
    );
    expect(others).toEqual([]);
  }
});

test('JSON may end with a line break, as in a block of YAML', () => {
  expect(problemsOf({ ...USABLE, VENDOR_REGION_URLS: '{"DE":"https://vendor.example"}\n' })).toEqual([]);
});

test.each(names.filter((name) => !secrets.includes(name)))('%s does not come from a file', (name) => {
  expect(problemsOf({ ...USABLE, [`${name}_FILE`]: '/run/secrets/any' })).toEqual([
    `${name}_FILE has no effect, because ${name} is not a secret: set ${name} instead`,
  ]);
});

test('a problem quotes the beginning of a value that is not secret, except a URL', () => {
  expect(problemsOf({ ...USABLE, LOG_LEVEL: 'verbose' })[0]).toMatch(/, not "verbose"$/);
  expect(problemsOf({ ...USABLE, LOG_LEVEL: 'x'.repeat(100_000) })[0]).toMatch(/, not "x{100}…"$/);
  for (const name of ['VENDOR_BASE_URL', 'REDIS_KEY_PREFIX']) {
    const [problem] = problemsOf({ ...USABLE, [name]: 'https://user:canary@vendor.example' });
    expect(problem).not.toMatch(/canary|vendor\.example/);
  }
});

test('every default is a valid value', () => {
  for (const [name, variable] of Object.entries(VARIABLES)) {
    if ('default' in variable) expect(problemsOf({ ...USABLE, [name]: variable.default })).toEqual([]);
  }
});

/** Text that no message of the broker contains by chance. */
const canary = fc.string({ unit: fc.constantFrom('ж', 'щ', 'ю'), minLength: 8, maxLength: 12 });
const around = fc.constantFrom('', 'off', '-----BEGIN PUBLIC KEY-----\n', 'redis://', 'k1:', '\n', ',', ' ', '\0');
const garbage = fc.oneof(
  wellFormedText({ maxLength: 40 }),
  fc.constantFrom('', '0', '1', 'true', 'off', '{}', 'https://a.example', 'redis://a', `k1:${KEY}`, '0.5-0.6', 'CN'),
);

test('any environment gives a configuration or a list of problems, and no problem shows a secret', () => {
  const environment = fc.record(
    Object.fromEntries(names.filter((name) => !secrets.includes(name)).map((name) => [name, garbage])),
    { requiredKeys: [] },
  );
  const secretValues = fc.record(Object.fromEntries(secrets.map((name) => [name, fc.tuple(around, canary, around)])), {
    requiredKeys: [],
  });
  let refused = 0;
  fc.assert(
    fc.property(fc.boolean(), environment, secretValues, (usable, open, secret) => {
      const given = Object.entries(secret).map(([name, parts]) => [name, parts?.join('')]);
      try {
        loadConfig({ ...(usable && USABLE), ...open, ...Object.fromEntries(given) });
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        refused += 1;
        expect(error.problems.length).toBeGreaterThan(0);
        const shown = `${error.stack}${error.message}${JSON.stringify(error)}`;
        for (const [, canary] of Object.values(secret).filter((parts) => parts !== undefined)) {
          expect(shown).not.toContain(canary);
        }
      }
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(0);
});
