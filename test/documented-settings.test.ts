import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config/config.ts';
import { ConfigError } from '../src/config/environment.ts';
import { VARIABLES, type Variable } from '../src/config/variables.ts';
import { isChinese } from './support/chinese.ts';
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
  const lines = EXAMPLE.split('\n').flatMap((line, index, all) => {
    const [, commented, name = '', value = ''] = /^(#?)([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
    return name === '' ? [] : [{ commented: commented === '#', name, value, above: all[index - 1] ?? '' }];
  });
  const given = lines.filter(({ commented }) => !commented);

  test('names every variable once, in the order of the code', () => {
    expect(lines.map(({ name }) => name)).toEqual(variables.map(([name]) => name));
  });

  test('shows the defaults commented out, and describes each variable', () => {
    const shown = lines.filter(({ commented }) => commented).map(({ name, value }) => [name, value]);
    const names = new Set(given.map(({ name }) => name));
    const others = variables.filter(([name]) => !names.has(name));
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(others.map(([name, v]) => [name, v.default ?? ''])));
    expect(lines.filter(({ above }) => !/^# \S.*[.,:)]$/.test(above)).map(({ name }) => name)).toEqual([]);
  });

  test('is valid as it is, and each line that is not commented out is required', () => {
    const environment = parseEnv(EXAMPLE);
    expect(new Set(Object.keys(environment))).toEqual(new Set(given.map(({ name }) => name)));
    expect(loadConfig(environment).http.port).toBe(8080);
    for (const { name } of given) expect(() => loadConfig({ ...environment, [name]: '' }), name).toThrow(name);
  });

  test('means the same with every setting uncommented', () => {
    const environment = parseEnv(EXAMPLE.replaceAll(/^#(?=[A-Z][A-Z0-9_]*=)/gm, ''));
    expect(Object.keys(environment)).toHaveLength(variables.length);
    expect(loadConfig(environment)).toEqual(loadConfig(parseEnv(EXAMPLE)));
  });

  test('marks the secrets, which may come from a file', () => {
    const marked = lines.filter(({ above }) => above.startsWith('# † ')).map(({ name }) => name);
    expect(marked).toEqual(variables.filter(([, { secret }]) => secret).map(([name]) => name));
  });
});

describe('.env.example.zh', () => {
  const [english, chinese] = [readFile('.env.example'), readFile('.env.example.zh')];
  /** Below the introduction, without the text: settings, empty lines, and the mark of a secret. */
  const frameOf = (text: string) =>
    text
      .slice(text.indexOf('\n\n'))
      .replaceAll(/(?:^# .*\n|^#\n)+/gm, (lines) => (/^# † .*\n$/m.test(lines) ? '# †\n' : '#\n'));

  test('has the same settings, values and secrets as .env.example', () => {
    expect(frameOf(chinese)).toBe(frameOf(english));
  });

  test('describes each setting in Chinese', () => {
    const described = [...chinese.matchAll(/^# (.*)\n#?([A-Z][A-Z0-9_]*)=/gm)];
    expect(described.map(([, , name]) => name)).toEqual(variables.map(([name]) => name));
    expect(described.filter(([, text = '']) => !isChinese(text))).toEqual([]);
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

test('docs/production.md says of each secret when a new value is in use', () => {
  const rows = tableAfter(readFile('docs/production.md'), 'secret').map(([names = '']) => names);
  const secrets = variables.filter(([, { secret }]) => secret).map(([name]) => name);
  expect(secrets.filter((name) => !rows.join(' ').includes(`\`${name}\``))).toEqual([]);
});

/** The tests of `test/integration/secret-rotations.test.ts` that play a section of docs/key-rotation.md. */
const ROTATION_TESTS: Readonly<Record<string, readonly string[]>> = {
  "The vendor's appKey": [
    "the vendor's appKey is replaced under load, with no failed request",
    'a vendor that accepts one appKey at a time refuses logins until the replicas have the new one, and known tokens stay readable',
  ],
  'A token of the internal API': ['an admin token is replaced under load, with no failed request'],
  'An encryption key': ['an encryption key is replaced under load, with no failed request and no repeated login'],
  'The key of the sessions': [
    'the HMAC secret of the sessions and the password of Redis are replaced under load, with no failed request',
    'the public key of the sessions and the password of a user of a Redis Cluster are replaced under load, with no failed request',
  ],
  'A published key of the sessions': ['a key in the JWKS is replaced under load, with no failed request and no signal'],
  'The client secret': [
    'the client secret of the broker at the OAuth server and the passwords of Redis and of its Sentinels are replaced under load, with no failed request',
  ],
  'The password of Redis': [
    'the HMAC secret of the sessions and the password of Redis are replaced under load, with no failed request',
    'the public key of the sessions and the password of a user of a Redis Cluster are replaced under load, with no failed request',
    'the client secret of the broker at the OAuth server and the passwords of Redis and of its Sentinels are replaced under load, with no failed request',
  ],
  'The tracing key': ['the key of the tracing backend is replaced under load, with no failed request'],
  'A secret in a variable': [
    'a secret in a variable is replaced by a rolling restart under load, with no failed request',
  ],
};

describe('docs/key-rotation.md', () => {
  const PARTS = ['Before you start.', 'Steps', 'How to see that it worked.'];
  const text = readFile('docs/key-rotation.md');
  const rows = tableAfter(text, 'secret');
  const sections = new Map(text.split('\n## ').map((section) => [section.split('\n')[0] ?? '', section]));
  const rotations = rows.map(([link = '']) => /^\[(.+?)\]/.exec(link)?.[1] ?? '');

  test('has a section for every secret of the configuration', () => {
    const secrets = Object.entries<Variable<unknown>>(VARIABLES).flatMap(([name, { secret }]) =>
      secret ? [name] : [],
    );
    const named = rows.flatMap(([, settings = '']) => [...settings.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(new Set(named)).toEqual(new Set([...secrets, 'SESSION_JWT_JWKS_URL']));
  });

  test.each(rotations)('%s: says how to replace the secret, and how to see that it worked', (title) => {
    const section = sections.get(title) ?? '';
    const parts = [...section.matchAll(/^\*\*(.+?)\*\*/gm)].map(([, part = '']) => part);
    expect(parts).toEqual(PARTS);
  });

  test('has a test of each section under load, and each of these tests plays a section', () => {
    const code = readFile('test/integration/secret-rotations.test.ts');
    const rotationsOf = code.matchAll(/(?:^ *test\(|^ {2}\[)\s*(['"])((?:(?!\1).)+)\1,/gm);
    // The rows of test.each have whole titles.
    expect(code).toContain("])('%s', ");
    const titles = [...rotationsOf].map(([, , title]) => title);
    expect(new Set(Object.values(ROTATION_TESTS).flat())).toEqual(new Set(titles));
    expect(Object.keys(ROTATION_TESTS)).toEqual([...rotations, 'A secret in a variable']);
    for (const title of Object.keys(ROTATION_TESTS)) expect(sections.has(title)).toBe(true);
  });
});
