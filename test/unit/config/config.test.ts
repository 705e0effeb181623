import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Config, loadConfig } from '../../../src/config/config.ts';
import type { Environment } from '../../../src/config/environment.ts';
import { VARIABLES, type VariableName } from '../../../src/config/variables.ts';
import { REPLACED_PARTS } from '../../../src/service.ts';
import { readFile } from '../../support/documents.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

const HMAC_SECRET = 'canary-secret-of-at-least-32-bytes';
const KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => 7 * index));
const ENCRYPTION_KEY = KEY.toString('base64');

const PEM = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString();

const INTROSPECTION = {
  SESSION_MODE: 'introspection',
  SESSION_INTROSPECTION_URL: 'https://accounts.example/introspect',
  SESSION_INTROSPECTION_CLIENT_ID: 'broker',
  SESSION_INTROSPECTION_CLIENT_SECRET: 'canary-secret',
};
const FORWARD = { SESSION_MODE: 'forward', SESSION_FORWARD_URL: 'https://cloud.example/me' };
const REDIS = { REDIS_URL: 'redis://redis.example' };
const TRACED = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
const CANARY_APP = { appId: 'app-1', appToken: 'canary-app-token', appKey: 'canary-app-key' };
const onlyApp = (app: object) => ({
  vendor: { apps: new Map([['default', { ...CANARY_APP, name: 'default', accessId: 'app-1', ...app }]]) },
});
const claim = (claims: object) => ({ session: { claims } });

/** A value of each setting, the part of the configuration that it makes, and the other settings that it needs. */
const EFFECTS: Readonly<Record<VariableName, readonly [value: string, made: object, among?: Environment]>> = {
  NODE_ENV: ['production', { http: { apiDocs: false } }],
  HOST: ['::1', { http: { host: '::1' } }],
  PORT: ['0', { http: { port: 0 } }],
  ADMIN_HOST: ['10.0.0.7', { admin: { host: '10.0.0.7' } }],
  ADMIN_PORT: ['0', { admin: { port: 0 } }],
  ADMIN_HOST_NAMES: [
    'Broker.example.com, b2.example',
    { admin: { hostNames: ['127.0.0.1', 'broker.example.com', 'b2.example'] } },
  ],
  ADMIN_TOKEN: [
    'canary-admin/token+1==',
    { admin: { tokens: [{ name: 'default', token: 'canary-admin/token+1==' }] } },
  ],
  ADMIN_TOKENS: [
    'cloud:canary-cloud/token1, ops.2:canary-ops~token-2',
    {
      admin: {
        tokens: [
          { name: 'default', token: 'canary-admin-token' },
          { name: 'cloud', token: 'canary-cloud/token1' },
          { name: 'ops.2', token: 'canary-ops~token-2' },
        ],
      },
    },
    { ADMIN_TOKEN: 'canary-admin-token' },
  ],
  LOG_LEVEL: ['warn', { logLevel: 'warn' }],
  API_DOCS: ['false', { http: { apiDocs: false } }],
  VENDOR_BASE_URL: ['https://other.example', { vendor: { baseUrl: new URL('https://other.example') } }],
  VENDOR_REGION_URLS: [
    '{"CN":"https://cn.vendor.example","DE":"http://de.vendor.example:8443/prefix"}',
    {
      vendor: {
        regionUrls: new Map([
          ['CN', new URL('https://cn.vendor.example')],
          ['DE', new URL('http://de.vendor.example:8443/prefix')],
        ]),
      },
    },
  ],
  VENDOR_APP_ID: ['app-2', onlyApp({ appId: 'app-2', accessId: 'app-2' })],
  VENDOR_APP_TOKEN: ['canary-2', onlyApp({ appToken: 'canary-2' })],
  VENDOR_APP_KEY: ['canary-2', onlyApp({ appKey: 'canary-2' })],
  VENDOR_ACCESS_ID: ['access-1', onlyApp({ accessId: 'access-1' })],
  VENDOR_APPS: [
    JSON.stringify({ ios: CANARY_APP }),
    { vendor: { apps: new Map([['ios', { ...CANARY_APP, name: 'ios', accessId: 'app-1' }]]) } },
    { VENDOR_APP_ID: '', VENDOR_APP_TOKEN: '', VENDOR_APP_KEY: '' },
  ],
  VENDOR_MAX_RPS: ['0', { vendor: { maxPerSecond: 0 } }],
  VENDOR_TIMEOUT_MS: ['100', { vendor: { timeoutMs: 100 } }],
  SESSION_MODE: ['forward', { session: { mode: 'forward' } }, { SESSION_FORWARD_URL: 'https://cloud.example/me' }],
  SESSION_JWT_JWKS_URL: [
    'https://other.example/jwks.json',
    { session: { key: { jwksUrl: new URL('https://other.example/jwks.json') } } },
  ],
  SESSION_JWT_PUBLIC_KEY: [PEM, { session: { key: { publicKeyPem: PEM } } }, { SESSION_JWT_JWKS_URL: '' }],
  SESSION_JWT_SECRET: [HMAC_SECRET, { session: { key: { secret: HMAC_SECRET } } }, { SESSION_JWT_JWKS_URL: '' }],
  SESSION_JWT_ISSUER: ['any', { session: { issuer: undefined } }],
  SESSION_JWT_AUDIENCE: ['any', { session: { audience: undefined } }],
  SESSION_JWT_ALGORITHMS: ['RS256, ES256', { session: { algorithms: ['RS256', 'ES256'] } }],
  SESSION_CLAIM_UNION_ID: ['user.id', claim({ unionId: 'user.id' })],
  SESSION_CLAIM_REGION: ['https://example.com/country', claim({ region: 'https://example.com/country' })],
  SESSION_CLAIM_APP: ['client.edition', claim({ app: 'client.edition' })],
  SESSION_CLAIM_ISSUED_AT: ['login.at', claim({ issuedAt: 'login.at' })],
  SESSION_CLAIM_EXPIRES_AT: ['login.until', claim({ expiresAt: 'login.until' })],
  SESSION_CLAIM_TIME_UNIT: ['ms', claim({ timeUnit: 'ms' })],
  SESSION_INTROSPECTION_URL: [
    'https://other.example/introspect',
    { session: { url: new URL('https://other.example/introspect') } },
    INTROSPECTION,
  ],
  SESSION_INTROSPECTION_CLIENT_ID: ['the broker: 1', { session: { clientId: 'the broker: 1' } }, INTROSPECTION],
  SESSION_INTROSPECTION_CLIENT_SECRET: ['canary: 2', { session: { clientSecret: 'canary: 2' } }, INTROSPECTION],
  SESSION_INTROSPECTION_AUDIENCE: ['cameras', { session: { audience: 'cameras' } }, INTROSPECTION],
  SESSION_INTROSPECTION_SCOPE: ['cam live', { session: { scopes: ['cam', 'live'] } }, INTROSPECTION],
  SESSION_FORWARD_URL: ['https://other.example/me', { session: { url: new URL('https://other.example/me') } }, FORWARD],
  SESSION_FORWARD_HEADERS: [
    'X-Session-Id!, Cookie',
    { forwardedSession: { headers: ['x-session-id!', 'cookie'] } },
    FORWARD,
  ],
  SESSION_FORWARD_COOKIES: ['sid, __Host-id', { forwardedSession: { cookies: ['sid', '__Host-id'] } }, FORWARD],
  SESSION_FORWARD_ACCEPTED: [
    'data.ok = a=b | true',
    { session: { accepted: { path: 'data.ok', values: ['a=b', 'true'] } } },
    FORWARD,
  ],
  SESSION_FORWARD_REFUSED: ['code=401', { session: { refused: { path: 'code', values: ['401'] } } }, FORWARD],
  SESSION_CACHE_SECONDS: ['0', { session: { cacheSeconds: 0 } }],
  HTTPS_PROXY: [
    'https://user:p%40ss@proxy.example:3128/',
    { proxies: { HTTPS_PROXY: new URL('https://user:p%40ss@proxy.example:3128') } },
  ],
  HTTP_PROXY: ['proxy.example', { proxies: { HTTP_PROXY: new URL('http://proxy.example:1080') } }],
  NO_PROXY: [
    'localhost, .Example.COM.,*.svc [::1],10.0.0.0/8,',
    { proxies: { NO_PROXY: ['localhost', 'example.com', 'svc', '::1', '10.0.0.0/8'] } },
  ],
  DEFAULT_REGION: ['SG', { defaultRegion: 'SG' }],
  REDIS_URL: [
    'rediss://user:password@redis.example:6380/2',
    { redis: { url: 'rediss://user:password@redis.example:6380/2' } },
  ],
  REDIS_KEY_PREFIX: ['{my:prefix-1}', { redis: { keyPrefix: '{my:prefix-1}' } }, REDIS],
  TOKEN_ENCRYPTION_KEYS: [
    `new:${ENCRYPTION_KEY},old:${ENCRYPTION_KEY}`,
    {
      redis: {
        encryptionKeys: [
          { id: 'new', key: KEY },
          { id: 'old', key: KEY },
        ],
      },
    },
    REDIS,
  ],
  TERMINAL_POLICY: ['single', { terminalPolicy: 'single', refresh: { mode: 'on-demand' } }],
  TERMINALS_PER_ACCOUNT: ['1000', { terminalsPerAccount: 1000 }],
  REFRESH_MODE: ['on-demand', { refresh: { mode: 'on-demand' } }],
  REFRESH_AT: ['.5-0.5', { refresh: { share: { from: 0.5, to: 0.5 } } }],
  REFRESH_UNREAD_LIMIT: ['3', { refresh: { unreadLimit: 3 } }],
  RATE_LIMIT_PER_MINUTE: ['0', { requestsPerMinute: 0 }],
  LOGIN_LIMIT_PER_HOUR: ['0', { loginsPerHour: 0 }],
  CACHE_MAX_MB: ['1', { cacheMaxBytes: 1_048_576 }],
  OTEL_EXPORTER_OTLP_ENDPOINT: [
    'http://collector:4318/prefix/',
    { tracing: { endpoint: new URL('http://collector:4318/prefix/v1/traces') } },
  ],
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: [
    'http://other:4318/traces',
    { tracing: { endpoint: new URL('http://other:4318/traces') } },
    TRACED,
  ],
  OTEL_EXPORTER_OTLP_HEADERS: [
    'x-api-key=canary%2Ckey, x-team = video',
    { tracing: { headers: { 'x-api-key': 'canary,key', 'x-team': 'video' } } },
    TRACED,
  ],
  OTEL_SERVICE_NAME: ['broker', { tracing: { serviceName: 'broker' } }, TRACED],
  OTEL_RESOURCE_ATTRIBUTES: [
    'deployment.environment.name=test%20lab,team=video',
    { tracing: { resourceAttributes: { 'deployment.environment.name': 'test lab', team: 'video' } } },
    TRACED,
  ],
  OTEL_TRACES_SAMPLER: ['always_on', { tracing: { sampler: 'always_on' } }, TRACED],
  OTEL_TRACES_SAMPLER_ARG: ['.25', { tracing: { ratio: 0.25 } }, TRACED],
  OTEL_TRACES_EXPORTER: ['none', { tracing: undefined }, TRACED],
  OTEL_SDK_DISABLED: ['true', { tracing: undefined }, TRACED],
};

/** `toMatchObject` takes any two URLs for equal. */
const plain = (value: object) =>
  JSON.parse(JSON.stringify(value, (_, inner) => (inner instanceof Map ? Object.fromEntries(inner) : (inner ?? null))));

test.each(Object.entries(EFFECTS))('%s has an effect', (name, [value, made, among = {}]) => {
  const without = { ...USABLE, ...among };
  expect(plain(loadConfig({ ...without, [name]: value }))).toMatchObject(plain(made));
  const isRequired = problemsOf(without).length > 0;
  if (!isRequired) expect(plain(loadConfig(without))).not.toMatchObject(plain(made));
});

/** The configurations of two replicas that differ in one setting. Secrets count in the digest only with a key. */
function differingIn(name: VariableName): [Config, Config] {
  const [value, , among = {}] = EFFECTS[name];
  const without = {
    REDIS_URL: 'redis://redis.example',
    TOKEN_ENCRYPTION_KEYS: `k1:${ENCRYPTION_KEY}`,
    ...USABLE,
    ...among,
  };
  const isRequired = problemsOf(without).length > 0;
  const former = isRequired ? { ...without, ...USABLE } : without;
  return [loadConfig(former), loadConfig({ ...without, [name]: value })];
}
const names = Object.keys(VARIABLES) as VariableName[];

test.each(names)('replicas that differ in %s have different digests, unless they may differ', (name) => {
  const [one, other] = differingIn(name);
  expect(one.digest !== other.digest).toBe(!('replicasMayDiffer' in VARIABLES[name]));
});

const secrets = names.filter((name) => 'secret' in VARIABLES[name]);
test.each(secrets)('a new value of the secret %s is in a part that the service replaces', (name) => {
  const [one, other] = differingIn(name);
  const parts = Object.keys(one) as (keyof Config)[];
  const changed = parts.filter((part) => part !== 'digest' && !isDeepStrictEqual(one[part], other[part]));
  expect(changed).not.toEqual([]);
  expect(changed.filter((part) => !REPLACED_PARTS.some((replaced) => replaced === part))).toEqual([]);
});

test('the service uses every part of the configuration', () => {
  const source = ['src/service.ts', 'src/commands/serve.ts'].map(readFile).join('');
  const uses = [...source.matchAll(/\b(?:config|current)\.(\w+)|\{([^{}]*)\} = config\b/g)];
  const used = new Set(uses.flatMap(([, one = '', several = '']) => [one, ...several.split(/\W+/)]));
  const config = loadConfig(USABLE);
  expect(Object.keys(config).filter((part) => !used.has(part))).toEqual([]);
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' });
  const others = files.filter((path) => path.endsWith('.ts') && !path.startsWith('config/'));
  const code = others.map((path) => readFile(`src/${path}`)).join('\n');
  const values = [config.http, config.admin, config.vendor, config.session, config.redis, config.refresh];
  const inner = values.flatMap((part) => Object.keys(part ?? {}));
  expect(inner.filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).toEqual([]);
});

describe('a valid environment', () => {
  test('needs only the variables without a default', () => {
    expect(loadConfig(USABLE)).toEqual({
      digest: expect.any(String),
      logLevel: 'info',
      http: { host: '0.0.0.0', port: 8080, apiDocs: true },
      admin: { host: '127.0.0.1', port: 9090, hostNames: ['127.0.0.1'], tokens: [] },
      vendor: {
        baseUrl: new URL('https://vendor.example'),
        regionUrls: new Map(),
        apps: new Map([['default', { ...CANARY_APP, name: 'default', accessId: 'app-1' }]]),
        timeoutMs: 5_000,
        maxPerSecond: 10,
      },
      session: {
        mode: 'jwt',
        key: { jwksUrl: new URL('https://accounts.example/jwks.json') },
        issuer: 'https://accounts.example',
        audience: 'sdk-token-broker',
        algorithms: undefined,
        claims: { unionId: 'sub', region: 'region', issuedAt: 'iat', expiresAt: 'exp', timeUnit: 's' },
        cacheSeconds: 30,
      },
      forwardedSession: undefined,
      proxies: { NO_PROXY: [] },
      redis: undefined,
      defaultRegion: undefined,
      terminalPolicy: 'multi',
      terminalsPerAccount: 20,
      refresh: { mode: 'proactive', share: { from: 0.7, to: 0.9 }, unreadLimit: 1 },
      requestsPerMinute: 60,
      loginsPerHour: 60,
      cacheMaxBytes: 64 * 1_048_576,
    });
  });

  test('may contain empty variables, which count as not set', () => {
    const empty = Object.fromEntries(
      Object.keys(VARIABLES).flatMap((name) => [
        [name, ''],
        [`${name}_FILE`, ''],
      ]),
    );
    expect(loadConfig({ ...empty, ...USABLE })).toEqual(loadConfig(USABLE));
    expect(problemsOf(empty)).toEqual(problemsOf({}));
  });
});

describe('the problems of a configuration', () => {
  test('are reported all at once, by name, in the order of the documents', () => {
    expect(problemsOf({})).toEqual([
      'VENDOR_BASE_URL is required: the http(s) URL of the vendor domain assigned to you, without a password or a query in it',
      'VENDOR_APP_ID is required: the appId that the vendor issued (for several apps use VENDOR_APPS), ' +
        'in visible ASCII characters without a space or a line break',
      'VENDOR_APP_TOKEN is required: the appToken that the vendor issued, without control characters, ' +
        'such as the line break that echo adds, and without white space, quotes or a byte order mark around it',
      'VENDOR_APP_KEY is required: the appKey that the vendor issued, without control characters, ' +
        'such as the line break that echo adds, and without white space, quotes or a byte order mark around it',
      'SESSION_JWT_ISSUER is required: the `iss` claim of your sessions, or any',
      'SESSION_JWT_AUDIENCE is required: the `aud` claim of your sessions, or any',
      'SESSION_JWT_JWKS_URL, SESSION_JWT_PUBLIC_KEY, SESSION_JWT_SECRET: one of them is required, to check sessions',
    ]);
    const wrong = { ...USABLE, PORT: 'http', VENDOR_APP_KEY: '', REDIS_URL: 'http://redis', NODE_ENV: 'production' };
    expect(problemsOf(wrong).map((problem) => problem.split(' ')[0])).toEqual([
      'PORT',
      'REDIS_URL',
      'VENDOR_APP_KEY',
      'TOKEN_ENCRYPTION_KEYS',
    ]);
  });

  test('are in the error message, one per line', () => {
    expect(() => loadConfig({ ...USABLE, PORT: '-1', API_DOCS: 'yes' })).toThrow(
      'The configuration is not usable:\n' +
        '  - PORT must be a whole number from 0 to 65535, not "-1"\n' +
        '  - API_DOCS must be true or false, not "yes"',
    );
  });
});

test('tokens are not stored unencrypted in Redis in production unless the setting is off', () => {
  const production = { ...USABLE, NODE_ENV: 'production', REDIS_URL: 'redis://127.0.0.1:6379' };
  const [problem] = problemsOf(production);
  expect(problem).toMatch(/^TOKEN_ENCRYPTION_KEYS is required in production with Redis: .* or off /);
  expect(loadConfig({ ...production, TOKEN_ENCRYPTION_KEYS: 'off' }).redis?.encryptionKeys).toEqual([]);
  expect(problemsOf({ ...production, TOKEN_ENCRYPTION_KEYS: `k1:${ENCRYPTION_KEY}` })).toEqual([]);
});

describe('a secret that everyone knows, or that is no random text', () => {
  const key = (byte: number) => `k1:${Buffer.alloc(32, byte).toString('base64')}`;
  const { SESSION_JWT_JWKS_URL: _url, ...WITHOUT_KEYS } = USABLE;
  const WITHOUT_APP = { ...USABLE, VENDOR_APP_ID: '', VENDOR_APP_TOKEN: '', VENDOR_APP_KEY: '' };
  const cases = [
    ['TOKEN_ENCRYPTION_KEYS', 'demo:b25seS1mb3ItdGhlLWRlbW8tbm90LWEtc2VjcmV0ISE=', USABLE],
    ['TOKEN_ENCRYPTION_KEYS', key(0), USABLE],
    ['TOKEN_ENCRYPTION_KEYS', key(7), USABLE],
    [
      'TOKEN_ENCRYPTION_KEYS',
      `k1:${Buffer.from(Array.from({ length: 32 }, (_, at) => at)).toString('base64')}`,
      USABLE,
    ],
    ['ADMIN_TOKEN', 'only-for-trying-it-out', USABLE],
    ['ADMIN_TOKEN', 'a'.repeat(32), USABLE],
    ['ADMIN_TOKENS', 'try-out:only-for-trying-it-out', USABLE],
    ['SESSION_JWT_SECRET', 'a'.repeat(32), WITHOUT_KEYS],
    ['SESSION_JWT_SECRET', 'a-string-secret-at-least-256-bits-long', WITHOUT_KEYS],
    ['VENDOR_APP_TOKEN', 'your-app-token', USABLE],
    ['VENDOR_APP_TOKEN', 'demo-app-token', USABLE],
    ['VENDOR_APP_KEY', 'your-app-key', USABLE],
    ['VENDOR_APP_KEY', 'demo-app-key', USABLE],
    ['VENDOR_APPS', JSON.stringify({ ios: { ...CANARY_APP, appKey: 'demo-app-key' } }), WITHOUT_APP],
    ['VENDOR_APPS', JSON.stringify({ ios: { ...CANARY_APP, appToken: 'demo-app-token' } }), WITHOUT_APP],
    ['SESSION_INTROSPECTION_CLIENT_SECRET', 'onlyForTryingItOut', USABLE],
  ] as const;

  test.each(cases)('%s=%s is refused in production, and nowhere else', (name, value, environment) => {
    const problems = problemsOf({ ...environment, NODE_ENV: 'production', [name]: value });
    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name} (is a value that|can be guessed)`))]);
    expect(problems.join()).not.toContain(value.replace(/^.*:/, ''));
    if (name.startsWith('VENDOR_')) expect(problems[0]).toMatch(/: use the value that the vendor issued$/);
    else if (name.startsWith('SESSION_INTRO'))
      expect(problems[0]).toMatch(/: use the value that the OAuth server issued$/);
    else expect(problems[0]).toMatch(/: choose a random one$/);
    for (const NODE_ENV of ['development', 'test', ''])
      expect(problemsOf({ ...environment, NODE_ENV, [name]: value })).toEqual([]);
  });

  test.each(['Production', 'prod', 'staging', 'production '])('is refused with NODE_ENV=%j too', (NODE_ENV) => {
    expect(problemsOf({ ...USABLE, NODE_ENV, ADMIN_TOKEN: 'only-for-trying-it-out' })).toHaveLength(1);
  });

  test.each(['hex', 'base64url'] as const)('does not include a random one in %s', (form) => {
    for (let round = 0; round < 200; round += 1) {
      const bytes = randomBytes(32);
      const secrets = { ADMIN_TOKEN: bytes.toString(form), TOKEN_ENCRYPTION_KEYS: `k1:${bytes.toString('base64')}` };
      expect(problemsOf({ ...USABLE, NODE_ENV: 'production', ...secrets })).toEqual([]);
    }
  });
});

test('the only terminal of an account is logged out by a background login if that is configured', () => {
  const single = { ...USABLE, TERMINAL_POLICY: 'single', REFRESH_MODE: 'proactive' };
  expect(loadConfig(single)).toMatchObject({ terminalPolicy: 'single', refresh: { mode: 'proactive' } });
});

test.each(['default:another-token-of-24-chars', 'cloud:canary-admin-token'])(
  'ADMIN_TOKENS may repeat neither the name nor the text of ADMIN_TOKEN: %s',
  (others) => {
    expect(problemsOf({ ...USABLE, ADMIN_TOKEN: 'canary-admin-token', ADMIN_TOKENS: others })).toEqual([
      'ADMIN_TOKENS must not repeat ADMIN_TOKEN, nor its name, which is default',
    ]);
  },
);
