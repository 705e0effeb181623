import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

const BAD: readonly [VariableName, allowed: string, values: readonly string[]][] = [
  ['PORT', 'a whole number from 0 to 65535', ['65536', '-1', '80.5', '0x50', '1e3', ' 80', 'http', '٣']],
  ...(['HOST', 'ADMIN_HOST'] as const).map((name): (typeof BAD)[number] => [
    name,
    'an IP address or a host name to listen on',
    [
      '[::1]',
      '127.0.0.1:80',
      'http://127.0.0.1',
      '*',
      '/run/broker.sock',
      '127.0.0.1,127.0.0.2',
      '-',
      '\u001b[31m',
      'x'.repeat(254),
    ],
  ]),
  ['ADMIN_PORT', 'a whole number from 0 to 65535', ['65536', '-1', 'off']],
  [
    'ADMIN_TOKEN',
    'at least 16 characters of A-Z a-z 0-9 - . _ ~ + / (the output of openssl rand -base64 32)',
    [
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
  ],
  [
    'ADMIN_TOKENS',
    'name:token[,name:token…] with different names',
    [
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
  ],
  ['LOG_LEVEL', 'one of trace, debug, info, warn, error, fatal, silent', ['INFO', 'verbose', '30']],
  ['API_DOCS', 'true or false', ['yes', '1', 'TRUE', 'off']],
  [
    'VENDOR_BASE_URL',
    'the http(s) URL of the vendor domain assigned to you',
    [
      'vendor.example',
      'ftp://vendor.example',
      'https://',
      'https://user@vendor.example',
      '//vendor.example',
      'https://vendor.example/?tenant=1',
      'https://vendor.example/#top',
    ],
  ],
  [
    'VENDOR_REGION_URLS',
    'a JSON object of http(s) URLs, without a password or a query in them, by assigned country code (GB, not UK)',
    [
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
  ],
  [
    'VENDOR_APP_ID',
    'the appId that the vendor issued (for several apps use VENDOR_APPS), in visible ASCII characters without a space',
    ['demo\n', ' demo', 'de mo', 'démo', 'demo\u2028', '\u0000'],
  ],
  [
    'VENDOR_ACCESS_ID',
    'the value of the header X-IotVideo-AccessID, if the vendor issued one besides the appId, in visible ASCII',
    ['demo\n', '\tdemo', '令牌'],
  ],
  [
    'VENDOR_APP_TOKEN',
    'the appToken that the vendor issued, without control characters, such as the line break that echo adds',
    ['canary\n', 'canary\r', 'can\u0000ary', 'canary\u007f', ...wrapped(SECRET)],
  ],
  [
    'VENDOR_APP_KEY',
    'the appKey that the vendor issued, without control characters, such as the line break that echo adds',
    ['canary\n', '\tcanary', ...wrapped(SECRET)],
  ],
  ['VENDOR_APPS', 'a JSON object of 1 to 64 apps by different names', ['ios', '[]', '{}', '{"ios":{"appId":"1"}}']],
  ['VENDOR_MAX_RPS', 'a whole number from 0 to 10000', ['-1', '10001', '0.5', '10/s']],
  ['VENDOR_TIMEOUT_MS', 'a whole number from 100 to 60000', ['99', '60001', '5s']],
  ['SESSION_MODE', 'one of jwt, introspection, forward', ['oauth', 'JWT', 'jwt,forward']],
  [
    'SESSION_JWT_JWKS_URL',
    'the http(s) URL of a JWK Set',
    ['jwks.json', 'file:///jwks.json', 'https://:pass@accounts.example/jwks.json'],
  ],
  [
    'SESSION_JWT_SECRET',
    'the shared HMAC secret, at least 32 bytes, or two on two lines while you replace it, without white space, quotes',
    [
      ...wrapped(SECRET),
      ' '.repeat(37),
      `${SECRET}\n ${SECRET}`,
      `${SECRET} \n${SECRET}`,
      `"${SECRET}\n${SECRET}"`,
      `"${SECRET}"\n"${SECRET}"`,
    ],
  ],
  [
    'SESSION_JWT_ALGORITHMS',
    'a comma-separated list of JWS algorithms, like ES256',
    ['ES256,', 'ES256 RS256', 'HS-256'],
  ],
  [
    'SESSION_INTROSPECTION_URL',
    'the http(s) URL of the introspection endpoint (RFC 7662)',
    ['/introspect', 'ftp://accounts.example', 'https://client:secret@accounts.example/introspect'],
  ],
  [
    'SESSION_INTROSPECTION_CLIENT_SECRET',
    'the client secret of the broker, without white space, quotes or a byte order mark around it',
    wrapped(SECRET),
  ],
  ['SESSION_INTROSPECTION_SCOPE', 'the scopes that a token must have, separated by spaces', [' ', '"cam"', 'c\u00e4m']],
  [
    'SESSION_FORWARD_URL',
    'the http(s) URL that returns the claims of a session',
    ['whoami.php', 'file:///whoami.php', 'https://user@cloud.example/whoami'],
  ],
  [
    'SESSION_FORWARD_HEADERS',
    'a comma-separated list of header names, like authorization,cookie, without host, accept, user-agent or the like',
    [
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
  ],
  ['SESSION_FORWARD_COOKIES', 'all, or a comma-separated list of cookie names', ['a b', 'sid,', 'sid=1']],
  ...(['UNION_ID', 'REGION', 'APP', 'ISSUED_AT', 'EXPIRES_AT'] as const).map((claim): (typeof BAD)[number] => [
    `SESSION_CLAIM_${claim}`,
    'a claim name or a dotted path, without an empty part',
    ['..a.', 'a..b', '.', '.a', 'a.', ' ', 'a. .b'],
  ]),
  ['SESSION_CLAIM_TIME_UNIT', 'one of s, ms', ['S', 'seconds', 'us']],
  [
    'SESSION_FORWARD_ACCEPTED',
    'a condition on the JSON answer, path=value[|value…], without an empty part, like code=200',
    ['code', '=200', ' =200', 'code=', 'code=200|', 'code=|200', 'data..code=200', '.code=200', 'code.=200', '.=200'],
  ],
  [
    'SESSION_FORWARD_REFUSED',
    'a condition on the JSON answer, path=value[|value…], without an empty part, like code=401|403',
    ['code', '=200', ' =200', 'code=', 'code=200|', 'code=|200', 'data..code=200', '.code=200', 'code.=200', '.=200'],
  ],
  ['SESSION_CACHE_SECONDS', 'a whole number from 0 to 3600', ['3601', '-1', '30s']],
  [
    'DEFAULT_REGION',
    'an assigned country code (ISO 3166-1 alpha-2), two capital letters',
    ['cn', 'CHN', 'C', 'C1', 'CN\n', 'ZZ', 'EU', 'UK'],
  ],
  [
    'REDIS_URL',
    'a redis:// or rediss:// URL',
    [
      'redis.example:6379',
      'http://redis.example',
      'redis-cluster://',
      'redis-sentinel://a:1',
      ...wrapped('redis://:canary@redis.example'),
      'redis-sentinel://a:1/name ',
    ],
  ],
  ['REDIS_KEY_PREFIX', '1 to 64 letters', ['{a}', 'a b', 'ä', 'a'.repeat(65)]],
  [
    'TOKEN_ENCRYPTION_KEYS',
    'off, or id:key[,id:key…]',
    [KEY, `k1:${SHORT_KEY}`, `k1:${KEY},`, `k1:${KEY},k1:${KEY}`, `:${KEY}`, 'OFF', `k1:${KEY.replace('=', '')}`],
  ],
  ['TERMINAL_POLICY', 'one of multi, single', ['one', 'MULTI']],
  ['TERMINALS_PER_ACCOUNT', 'a whole number from 1 to 1000', ['0', '1001', '∞']],
  ['REFRESH_MODE', 'one of proactive, on-demand', ['eager', 'on demand']],
  ['REFRESH_AT', 'two shares of a token’s life', ['0.7', '0.9-0.7', '0-0.5', '0.0-0.5', '0.5-1', '70-90', '0.7 - 0.9']],
  ['REFRESH_UNREAD_LIMIT', 'a whole number from 1 to 255', ['0', '256']],
  ['RATE_LIMIT_PER_MINUTE', 'a whole number from 0 to 1000000', ['-1', '1000001', '60/min', 'off']],
  ['LOGIN_LIMIT_PER_HOUR', 'a whole number from 0 to 1000000', ['-1', '1000001', '60/h', 'off']],
  ['CACHE_MAX_MB', 'a whole number from 1 to 2048', ['0', '2049', '64MB']],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'the http(s) URL of an OTLP/HTTP receiver', ['collector:4318', 'grpc://collector']],
  [
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    'the http(s) URL to which traces are sent',
    ['http://key@collector/v1/traces'],
  ],
  ['OTEL_EXPORTER_OTLP_HEADERS', 'a comma-separated list like', ['secret', 'a b=c', 'a=%', 'a=%0A', 'a=ü']],
  ['OTEL_RESOURCE_ATTRIBUTES', 'a comma-separated list like', ['production', '=b', 'a=%E0%A4%A']],
  ['OTEL_TRACES_SAMPLER', 'one of always_on, always_off, traceidratio', ['on', 'jaeger_remote', 'ALWAYS_ON']],
  ['OTEL_TRACES_SAMPLER_ARG', 'a number from 0 to 1', ['1.1', '-0.1', '10%', '1e-1']],
  ['OTEL_TRACES_EXPORTER', 'one of otlp, none', ['jaeger', 'otlp,console']],
  ['OTEL_SDK_DISABLED', 'true or false', ['yes', 'TRUE']],
];

describe.each(BAD)('%s must be', (name, allowed, values) => {
  test.each(values)(`${allowed}; it is not %j`, (value) => {
    const keys = name === 'SESSION_JWT_SECRET' ? { SESSION_JWT_JWKS_URL: '' } : {};
    const problems = problemsOf({ ...USABLE, ...keys, [name]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).not.toContain('canary');
    expect(problems[0]).toMatch(new RegExp(`^${name} must be `));
    expect(problems[0]).toContain(allowed);
  });
});

test.each(['canary', 'canary "quoted" and more', '"', 'it’s 5 o’clock'])(
  'a secret may hold quotes and white space inside: %s',
  (secret) => expect(problemsOf({ ...USABLE, VENDOR_APP_TOKEN: secret, VENDOR_APP_KEY: secret })).toEqual([]),
);

test.each([
  ['\n', 0],
  ['\r\n', 0],
  ['\n\n', 1],
  [' \n', 1],
] as const)('a file with a secret may end with one line end: after %j there are %i problems', (end, problems) => {
  const folder = mkdtempSync(join(tmpdir(), 'secret-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'secret');
  writeFileSync(file, SECRET + end);
  const { SESSION_JWT_JWKS_URL: _, VENDOR_APP_KEY: _key, ...others } = USABLE;
  const found = problemsOf({ ...others, VENDOR_APP_KEY_FILE: file, SESSION_JWT_SECRET_FILE: file });
  expect(found).toHaveLength(2 * problems);
});

test('a file with a secret that is no text is refused, with its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'secret-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'secret');
  writeFileSync(file, Buffer.concat([Buffer.from(SECRET), Buffer.of(0xff)]));
  const { VENDOR_APP_KEY: _, ...others } = USABLE;
  const problem = `VENDOR_APP_KEY_FILE names a file that is not UTF-8 text: ${file}`;
  expect(problemsOf({ ...others, VENDOR_APP_KEY_FILE: file })).toEqual([problem]);
});

test.each(['/dev/zero', '/dev', '/dev/fd'])('a secret comes from a regular file only, not from %s', (path) => {
  const { VENDOR_APP_KEY: _, ...others } = USABLE;
  const problem = `VENDOR_APP_KEY_FILE names something that is not a regular file: ${path}`;
  expect(problemsOf({ ...others, VENDOR_APP_KEY_FILE: path })).toEqual([problem]);
});

test('every setting that does not take any text is refused with a wrong value', () => {
  const restricted = names.filter((name) => VARIABLES[name].schema !== text);
  expect(new Set(BAD.map(([name]) => name))).toEqual(new Set(restricted));
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

test('a problem shows the beginning of a long value', () => {
  const [problem] = problemsOf({ ...USABLE, LOG_LEVEL: 'x'.repeat(100_000) });
  expect(problem).toMatch(/, not "x{100}…"$/);
});

test('a problem quotes a value that is not secret, except a URL', () => {
  expect(problemsOf({ ...USABLE, LOG_LEVEL: 'verbose' })[0]).toMatch(/, not "verbose"$/);
  for (const name of ['VENDOR_BASE_URL', 'REDIS_KEY_PREFIX']) {
    expect(problemsOf({ ...USABLE, [name]: 'https://user:canary@vendor.example' })[0]).not.toMatch(
      /canary|vendor\.example/,
    );
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
