import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { VARIABLES, type VariableName } from '../../src/config/variables.ts';
import { startService } from '../../src/service.ts';
import { captureLog } from '../support/captured-log.ts';
import { plainRequest } from '../support/plain-request.ts';
import { problemsOf, USABLE } from '../unit/config/usable-environment.ts';

const NAMES = Object.keys(VARIABLES) as VariableName[];
/** Words that no message of the broker contains. */
const PART = fc.stringMatching(/^ж{4}[a-z0-9ж]{0,6}$/);
const ODD = fc.constantFrom('/', '//', '@', ':', '?', '#', '%', '\\', ' ', '"', '&', '=', '\n', '://', '[', '{', "'");
const PASSWORD = fc.array(fc.oneof(PART, ODD), { minLength: 1, maxLength: 7 }).map((parts) => parts.join(''));
const BEFORE = fc.constantFrom('https://user:', 'https://:', 'redis://:', 'http:user:', 'user:', '//u:', 'https://');
const AFTER = fc.constantFrom(
  '@vendor.example',
  '@vendor.example/path',
  '',
  '@',
  '%40vendor.example',
  '@[::1',
  '@a@b:x',
);

describe('a URL with a password that has any characters', () => {
  test('never shows a part of the password in a configuration error, whichever setting it is in', () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.constantFrom(...NAMES), BEFORE, PART, PASSWORD, AFTER, (name, before, part, password, after) => {
        const value = `${before}${password}${part}${password}${after}`;
        // In a setting that takes no URL, only a value that looks like one is taken for one.
        fc.pre('isUrl' in VARIABLES[name] || /\/\/|@/.test(value));
        const problems = problemsOf({ ...USABLE, [name]: value });
        refused += problems.length;
        expect(problems.join('\n')).not.toContain('жжжж');
      }),
      { numRuns: 5_000, seed: 14 },
    );
    expect(refused).toBeGreaterThan(2_500);
  });
});

describe('a broker with Redis and without encryption keys', () => {
  test.each([
    ['development', ''],
    ['production', 'off'],
  ])('says at the start that tokens are readable: NODE_ENV=%s, TOKEN_ENCRYPTION_KEYS=%j', async (mode, keys) => {
    const { warnings } = await startWith({ NODE_ENV: mode, TOKEN_ENCRYPTION_KEYS: keys });
    expect(warnings.filter((text) => text.includes('TOKEN_ENCRYPTION_KEYS has no key'))).toHaveLength(1);
  });

  test('says so also when the keys are switched off by a reload', async () => {
    const { service, environment, log } = await startWith({});
    service.reloadSecrets(() => loadConfig({ ...environment, TOKEN_ENCRYPTION_KEYS: 'off' }));
    expect(log.lines().filter(({ msg }) => /TOKEN_ENCRYPTION_KEYS has no key/.test(String(msg)))).toHaveLength(1);
  });

  test('is silent about it with a key', async () => {
    const { warnings } = await startWith({ NODE_ENV: 'development' });
    expect(warnings.join('\n')).not.toContain('TOKEN_ENCRYPTION_KEYS');
  });
});

describe('the API documentation', () => {
  test.each([
    ['production', '', 404],
    ['production', 'true', 200],
    ['development', '', 200],
    ['development', 'false', 404],
  ])('NODE_ENV=%s, API_DOCS=%j: /docs and /openapi.json answer %i', async (mode, apiDocs, status) => {
    const { url } = await startWith({ NODE_ENV: mode, API_DOCS: apiDocs });
    for (const path of ['/docs', '/openapi.json']) expect((await plainRequest(url + path)).status).toBe(status);
  });
});

/** Starts a service in this process, and returns what it warns of at the start. */
async function startWith(env: Readonly<Record<string, string>>) {
  const environment = {
    ...USABLE,
    NODE_ENV: 'production',
    REDIS_URL: inject('redisUrl'),
    TOKEN_ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    HOST: '127.0.0.1',
    PORT: '0',
    ADMIN_PORT: '0',
    ...env,
  };
  const log = captureLog('warn');
  const service = await startService(loadConfig(environment), log.logger, '1.2.3');
  onTestFinished(() => service.close());
  const warnings = log.lines().map(({ level, msg }) => `${level} ${msg}`);
  expect(warnings.filter((text) => !text.startsWith('warn '))).toEqual([]);
  return { url: service.url, warnings, service, environment, log };
}
