import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config/config.ts';
import { ConfigError } from '../src/config/environment.ts';
import { VARIABLES, type Variable } from '../src/config/variables.ts';
import { readFile, tableAfter } from './support/documents.ts';

/** The rows of all tables of settings in docs/settings.md. */
const ROWS = [...readFile('docs/settings.md').matchAll(/^\| `([A-Z][A-Z0-9_]*)`( †)? \| (.*?) \|/gm)].map(
  ([, name = '', mark, shown = '']) => ({ name, isSecret: mark !== undefined, shown }),
);
const variables: [string, Variable<unknown>][] = Object.entries(VARIABLES);

/** Valid environments, and the words of docs/settings.md for the settings that each of them requires. */
const SETTINGS = (() => {
  const example = parseEnv(readFile('.env.example'));
  const without = (prefix: RegExp) =>
    Object.fromEntries(Object.entries(example).filter(([name]) => !prefix.test(name)));
  const app = { appId: 'id', appToken: 'token', appKey: 'key' };
  const oneApp = ['required', 'required unless `VENDOR_APPS`'];
  return [
    { name: 'as in .env.example', environment: example, required: [...oneApp, 'required with `jwt`'] },
    {
      name: 'several apps',
      environment: { ...without(/^VENDOR_APP_/), VENDOR_APPS: JSON.stringify({ ios: app }) },
      required: ['required', 'required with `jwt`'],
    },
    {
      name: 'introspection',
      environment: {
        ...without(/^SESSION_/),
        SESSION_MODE: 'introspection',
        SESSION_INTROSPECTION_URL: 'https://accounts.example/introspect',
        SESSION_INTROSPECTION_CLIENT_ID: 'broker',
        SESSION_INTROSPECTION_CLIENT_SECRET: 'secret',
      },
      required: [...oneApp, 'required with `introspection`'],
    },
    {
      name: 'forward',
      environment: {
        ...without(/^SESSION_/),
        SESSION_MODE: 'forward',
        SESSION_FORWARD_URL: 'https://cloud.example/me',
      },
      required: [...oneApp, 'required with `forward`'],
    },
    {
      name: 'in production with Redis',
      environment: {
        ...example,
        NODE_ENV: 'production',
        // The placeholders of .env.example are refused.
        VENDOR_APP_TOKEN: 'token of the app',
        VENDOR_APP_KEY: 'key of the app',
        REDIS_URL: 'redis://redis.example',
        TOKEN_ENCRYPTION_KEYS: 'off',
      },
      required: [...oneApp, 'required with `jwt`', 'required in `production` with Redis'],
    },
  ];
})();

/** The names of the variables that prevent a start with these settings. */
function problemsOf(environment: NodeJS.Dict<string>): string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => problem.replace(/ .*$/s, ''));
  }
}

describe('.env.example', () => {
  const EXAMPLE = readFile('.env.example');

  test('is valid as it is, and each line that is not commented out is required', () => {
    const environment = parseEnv(EXAMPLE);
    expect(loadConfig(environment).http.port).toBe(8080);
    for (const name of Object.keys(environment)) {
      expect(() => loadConfig({ ...environment, [name]: '' }), name).toThrow(name);
    }
  });

  test('means the same with every setting uncommented', () => {
    const environment = parseEnv(EXAMPLE.replaceAll(/^#(?=[A-Z][A-Z0-9_]*=)/gm, ''));
    expect(Object.keys(environment)).toHaveLength(variables.length);
    expect(loadConfig(environment)).toEqual(loadConfig(parseEnv(EXAMPLE)));
  });
});

describe('docs/settings.md', () => {
  test('lists every variable once with its default, and marks the secrets', () => {
    const rows = ROWS.map(({ name, isSecret, shown }) => [
      name,
      { secret: isSecret, default: /^`(.*)`$/.exec(shown)?.[1] },
    ]);
    const known = variables.map(([name, variable]) => [
      name,
      { secret: variable.secret === true, default: variable.default },
    ]);
    expect(rows).toHaveLength(known.length);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(known));
  });

  test.each(SETTINGS)(
    'calls a variable required if and only if the broker does not start without it: $name',
    ({ environment, required }) => {
      const needed = Object.keys(environment).filter((name) =>
        problemsOf({ ...environment, [name]: '' }).includes(name),
      );
      const said = ROWS.filter(({ shown }) => required.includes(shown)).map(({ name }) => name);
      expect(problemsOf(environment)).toEqual([]);
      expect(needed).not.toEqual([]);
      expect(new Set(said)).toEqual(new Set(needed));
      const known = new Set(SETTINGS.flatMap((one) => one.required));
      expect(ROWS.filter(({ shown }) => shown.startsWith('required') && !known.has(shown))).toEqual([]);
    },
  );
});

test.each(['', 'zh/'])('docs/%sintegrate-your-cloud.md names each setting of a claim', (language) => {
  const text = readFile(`docs/${language}integrate-your-cloud.md`);
  const names = variables.map(([name]) => name).filter((name) => name.startsWith('SESSION_CLAIM_'));
  expect(names.filter((name) => !text.includes(name))).toEqual([]);
});

test('docker-compose.yml sets only existing variables, and only valid values', () => {
  const [, block = ''] = /^ {4}environment:\n((?: {6}.*\n)+)/m.exec(readFile('docker-compose.yml')) ?? [];
  const entries = [...block.matchAll(/^ {6}([A-Z0-9_]+): (.+)$/gm)].map(([, name = '', value = '']) => [
    name,
    value.replace(/^\$\{[A-Z_]+:-(.*)\}$/, '$1'),
  ]);
  const known = new Set(variables.map(([name]) => name));
  expect(entries.map(([name]) => name).filter((name = '') => !known.has(name))).toEqual([]);
  const config = loadConfig(Object.fromEntries(entries));
  // For trying it out: without a key of one's own, tokens are not encrypted.
  expect(config.redis?.encryptionKeys).toEqual([]);
});

const secrets = variables.filter(([, { secret }]) => secret).map(([name]) => name);

test('docs/production.md says of each secret when a new value is in use', () => {
  const rows = tableAfter(readFile('docs/production.md'), 'secret').map(([names = '']) => names);
  expect(secrets.filter((name) => !rows.join(' ').includes(`\`${name}\``))).toEqual([]);
});

describe('docs/key-rotation.md', () => {
  const PARTS = ['Before you start.', 'Steps', 'How to see that it worked.'];
  const text = readFile('docs/key-rotation.md');
  const rows = tableAfter(text, 'secret');
  const sections = new Map(text.split('\n## ').map((section) => [section.split('\n')[0] ?? '', section]));
  const rotations = rows.map(([link = '']) => /^\[(.+?)\]/.exec(link)?.[1] ?? '');
  const named = rows.flatMap(([, settings = '']) => [...settings.matchAll(/`(\w+)`/g)].map(([, name = '']) => name));

  test('has a section for every secret of the configuration', () =>
    expect(new Set(named)).toEqual(new Set([...secrets, 'SESSION_JWT_JWKS_URL'])));

  test.each(rotations)('%s: says how to replace the secret, and how to see that it worked', (title) => {
    const section = sections.get(title) ?? '';
    const parts = [...section.matchAll(/^\*\*(.+?)\*\*/gm)].map(([, part = '']) => part);
    expect(parts).toEqual(PARTS);
  });

  test.each(named)('%s is replaced in test/integration/secret-rotations.test.ts, for an app by its key', (name) => {
    const replaced = /^VENDOR_APP/.test(name) ? 'VENDOR_APP_KEY' : name;
    expect(readFile('test/integration/secret-rotations.test.ts')).toMatch(new RegExp(`\\b${replaced}\\b`));
  });
});
