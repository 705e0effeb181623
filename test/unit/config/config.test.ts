import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { VARIABLES } from '../../../src/config/variables.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

const HMAC_SECRET = 'canary-secret-of-at-least-32-bytes';
const KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => 7 * index));
const ENCRYPTION_KEY = KEY.toString('base64');

const { SESSION_JWT_JWKS_URL: _, ...WITHOUT_KEY } = USABLE;

describe('a valid environment', () => {
  test('needs only the variables without a default', () => {
    expect(loadConfig(USABLE)).toEqual({
      digest: expect.any(String),
      logLevel: 'info',
      http: { host: '0.0.0.0', port: 8080, apiDocs: true },
      admin: { host: '127.0.0.1', port: 9090, tokens: [] },
      vendor: {
        baseUrl: new URL('https://vendor.example'),
        regionUrls: new Map(),
        apps: new Map([
          [
            'default',
            {
              name: 'default',
              appId: 'app-1',
              appToken: 'canary-app-token',
              appKey: 'canary-app-key',
              accessId: 'app-1',
            },
          ],
        ]),
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

  test('may set every variable', () => {
    const config = loadConfig({
      ...WITHOUT_KEY,
      NODE_ENV: 'production',
      HOST: '::1',
      PORT: '0',
      ADMIN_HOST: '10.0.0.7',
      ADMIN_PORT: '0',
      ADMIN_TOKEN: 'canary-admin/token+1==',
      ADMIN_TOKENS: 'cloud:canary-cloud/token1, ops.2:canary-ops~token-2',
      LOG_LEVEL: 'warn',
      API_DOCS: 'false',
      VENDOR_REGION_URLS: '{"CN":"https://cn.vendor.example","DE":"http://de.vendor.example:8443/prefix"}',
      VENDOR_ACCESS_ID: 'access-1',
      VENDOR_MAX_RPS: '0',
      VENDOR_TIMEOUT_MS: '100',
      SESSION_MODE: 'jwt',
      SESSION_JWT_SECRET: HMAC_SECRET,
      SESSION_JWT_ALGORITHMS: 'HS256, HS512',
      SESSION_CLAIM_UNION_ID: 'user.id',
      SESSION_CLAIM_REGION: 'https://example.com/country',
      SESSION_CLAIM_APP: 'client.edition',
      SESSION_CLAIM_ISSUED_AT: 'login.at',
      SESSION_CLAIM_EXPIRES_AT: 'login.until',
      SESSION_CLAIM_TIME_UNIT: 'ms',
      SESSION_CACHE_SECONDS: '0',
      DEFAULT_REGION: 'SG',
      REDIS_URL: 'rediss://user:password@redis.example:6380/2',
      REDIS_KEY_PREFIX: 'my:prefix-1',
      TOKEN_ENCRYPTION_KEYS: `new:${ENCRYPTION_KEY},old:${ENCRYPTION_KEY}`,
      TERMINALS_PER_ACCOUNT: '1000',
      REFRESH_MODE: 'on-demand',
      REFRESH_AT: '.5-0.5',
      REFRESH_UNREAD_LIMIT: '3',
      RATE_LIMIT_PER_MINUTE: '0',
      LOGIN_LIMIT_PER_HOUR: '0',
      CACHE_MAX_MB: '1',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/prefix/',
      OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=canary%2Ckey, x-team = video',
      OTEL_SERVICE_NAME: 'broker',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test%20lab,team=video',
      OTEL_TRACES_SAMPLER: 'always_on',
      OTEL_TRACES_SAMPLER_ARG: '.25',
    });
    expect(config).toMatchObject({
      logLevel: 'warn',
      http: { host: '::1', port: 0, apiDocs: false },
      admin: {
        host: '10.0.0.7',
        port: 0,
        tokens: [
          { name: 'default', token: 'canary-admin/token+1==' },
          { name: 'cloud', token: 'canary-cloud/token1' },
          { name: 'ops.2', token: 'canary-ops~token-2' },
        ],
      },
      vendor: { timeoutMs: 100, maxPerSecond: 0 },
      session: {
        mode: 'jwt',
        key: { secret: HMAC_SECRET },
        algorithms: ['HS256', 'HS512'],
        claims: {
          unionId: 'user.id',
          region: 'https://example.com/country',
          app: 'client.edition',
          issuedAt: 'login.at',
          expiresAt: 'login.until',
          timeUnit: 'ms',
        },
        cacheSeconds: 0,
      },
      redis: {
        url: 'rediss://user:password@redis.example:6380/2',
        keyPrefix: 'my:prefix-1',
        encryptionKeys: [
          { id: 'new', key: KEY },
          { id: 'old', key: KEY },
        ],
      },
      defaultRegion: 'SG',
      terminalsPerAccount: 1000,
      refresh: { mode: 'on-demand', share: { from: 0.5, to: 0.5 }, unreadLimit: 3 },
      requestsPerMinute: 0,
      loginsPerHour: 0,
      cacheMaxBytes: 1_048_576,
      tracing: {
        endpoint: new URL('http://collector:4318/prefix/v1/traces'),
        headers: { 'x-api-key': 'canary,key', 'x-team': 'video' },
        serviceName: 'broker',
        resourceAttributes: { 'deployment.environment.name': 'test lab', team: 'video' },
        sampler: 'always_on',
        ratio: 0.25,
      },
    });
    expect(config.vendor.apps.get('default')?.accessId).toBe('access-1');
    expect([...config.vendor.regionUrls].map(([region, { href }]) => [region, href])).toEqual([
      ['CN', 'https://cn.vendor.example/'],
      ['DE', 'http://de.vendor.example:8443/prefix'],
    ]);
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
      'VENDOR_BASE_URL is required: the http(s) URL of the vendor domain assigned to you, without a password in it',
      'VENDOR_APP_ID is required: the appId that the vendor issued (for several apps use VENDOR_APPS), ' +
        'in visible ASCII characters without a space or a line break',
      'VENDOR_APP_TOKEN is required: the appToken that the vendor issued, without control characters, ' +
        'such as the line break that echo adds',
      'VENDOR_APP_KEY is required: the appKey that the vendor issued, without control characters, ' +
        'such as the line break that echo adds',
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

describe('tokens in Redis', () => {
  const REDIS_URL = 'redis://127.0.0.1:6379';

  test('are not stored unencrypted in production unless the setting is off', () => {
    const production = { ...USABLE, NODE_ENV: 'production', REDIS_URL };
    const [problem] = problemsOf(production);
    expect(problem).toMatch(/^TOKEN_ENCRYPTION_KEYS is required in production with Redis: .* or off /);
    expect(loadConfig({ ...production, TOKEN_ENCRYPTION_KEYS: 'off' }).redis?.encryptionKeys).toEqual([]);
    expect(problemsOf({ ...production, TOKEN_ENCRYPTION_KEYS: `k1:${ENCRYPTION_KEY}` })).toEqual([]);
  });

  test('may be stored unencrypted outside production', () => {
    expect(loadConfig({ ...USABLE, REDIS_URL }).redis?.encryptionKeys).toEqual([]);
  });

  test('need no encryption key without Redis', () => {
    expect(problemsOf({ ...USABLE, NODE_ENV: 'production' })).toEqual([]);
  });
});

describe('a secret that everyone knows, or that is no random text', () => {
  const key = (byte: number) => `k1:${Buffer.alloc(32, byte).toString('base64')}`;
  const { SESSION_JWT_JWKS_URL: _url, ...WITHOUT_KEYS } = USABLE;
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
    ['VENDOR_APP_KEY', 'your-app-key', USABLE],
    ['SESSION_INTROSPECTION_CLIENT_SECRET', 'onlyForTryingItOut', USABLE],
  ] as const;

  test.each(cases)('%s=%s is refused in production, and nowhere else', (name, value, environment) => {
    const problems = problemsOf({ ...environment, NODE_ENV: 'production', [name]: value });
    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name} (is a value that|can be guessed)`))]);
    expect(problems.join()).not.toContain(value.replace(/^.*:/, ''));
    expect(problemsOf({ ...environment, [name]: value })).toEqual([]);
  });

  test.each(['Production', 'prod', 'staging', 'production '])('is refused with NODE_ENV=%j too', (NODE_ENV) => {
    expect(problemsOf({ ...USABLE, NODE_ENV, ADMIN_TOKEN: 'only-for-trying-it-out' })).toHaveLength(1);
  });

  test.each(['hex', 'base64url'] as const)('does not include a random one in %s', (form) => {
    for (let round = 0; round < 1_000; round += 1) {
      const bytes = randomBytes(32);
      const secrets = { ADMIN_TOKEN: bytes.toString(form), TOKEN_ENCRYPTION_KEYS: `k1:${bytes.toString('base64')}` };
      expect(problemsOf({ ...USABLE, NODE_ENV: 'production', ...secrets })).toEqual([]);
    }
  });
});

describe('the only terminal of an account', () => {
  const single = { ...USABLE, TERMINAL_POLICY: 'single' };

  test('is not logged out by a background login unless that is configured', () => {
    expect(loadConfig(single)).toMatchObject({ terminalPolicy: 'single', refresh: { mode: 'on-demand' } });
    expect(loadConfig({ ...single, REFRESH_MODE: 'proactive' }).refresh.mode).toBe('proactive');
  });
});

test.each(['default:another-token-of-24-chars', 'cloud:canary-admin-token'])(
  'ADMIN_TOKENS may repeat neither the name nor the text of ADMIN_TOKEN: %s',
  (others) => {
    expect(problemsOf({ ...USABLE, ADMIN_TOKEN: 'canary-admin-token', ADMIN_TOKENS: others })).toEqual([
      'ADMIN_TOKENS must not repeat ADMIN_TOKEN, nor its name, which is default',
    ]);
  },
);
