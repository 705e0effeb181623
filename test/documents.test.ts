import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config/config.ts';
import { VARIABLES, type Variable } from '../src/config/variables.ts';
import { internalOpenApiDocument, openApiDocument } from '../src/http/openapi-document.ts';
import { ERRORS } from '../src/token/errors.ts';

const ROOT = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

const README = read('README.md');
const APP = read('docs/integrate-your-app.md');
const { version, scripts } = JSON.parse(read('package.json')) as { version: string; scripts: Record<string, string> };
const DOCUMENTS = ['README.md', ...markdownIn('docs/')];
const variables: [string, Variable<unknown>][] = Object.entries(VARIABLES);

function markdownIn(folder: string): string[] {
  return readdirSync(new URL(folder, ROOT))
    .filter((name) => name.endsWith('.md'))
    .map((name) => folder + name);
}

/** The cells of the rows of the one table that begins with this cell. */
function tableAfter(firstCell: string): string[][] {
  const [, ...tables] = README.split(`\n| ${firstCell} |`);
  expect(tables).toHaveLength(1);
  const [, , ...rows] = tables[0]?.split('\n\n')[0]?.split('\n') ?? [];
  return rows.map((row) => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')));
}

/** Every block of code in this language, in order. */
function codeIn(text: string, language: string): string[] {
  const [, ...blocks] = text.split(`\n\`\`\`${language}\n`);
  return blocks.map((block) => block.split('\n```')[0] ?? '');
}

describe('.env.example', () => {
  const EXAMPLE = read('.env.example');
  const lines = EXAMPLE.split('\n').flatMap((line, index, all) => {
    const [, commented, name = '', value = ''] = /^(#?)([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
    return name === '' ? [] : [{ commented: commented === '#', name, value, above: all[index - 1] ?? '' }];
  });
  const given = lines.filter(({ commented }) => !commented);

  test('names every variable once, in the order of the code', () => {
    expect(lines.map(({ name }) => name)).toEqual(variables.map(([name]) => name));
  });

  test('shows the defaults commented out, and says in a line what each variable is', () => {
    const shown = lines.filter(({ commented }) => commented).map(({ name, value }) => [name, value]);
    const names = new Set(given.map(({ name }) => name));
    const others = variables.filter(([name]) => !names.has(name));
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(others.map(([name, v]) => [name, v.default ?? ''])));
    expect(lines.filter(({ above }) => !/^# \S.*[.,:)]$/.test(above)).map(({ name }) => name)).toEqual([]);
  });

  test('can be used as it is, for Node’s own parser, and no line it gives can be left out', () => {
    const environment = parseEnv(EXAMPLE);
    expect(new Set(Object.keys(environment))).toEqual(new Set(given.map(({ name }) => name)));
    expect(loadConfig(environment).http.port).toBe(8080);
    for (const { name } of given) expect(() => loadConfig({ ...environment, [name]: '' }), name).toThrow(name);
  });

  test('can be used with every comment sign taken away, but for what excludes another', () => {
    const environment = parseEnv(EXAMPLE.replaceAll(/^#(?=[A-Z][A-Z0-9_]*=)/gm, ''));
    expect(Object.keys(environment)).toHaveLength(variables.length);
    expect(loadConfig(environment)).toEqual(loadConfig(parseEnv(EXAMPLE)));
  });

  test('marks what may come from a file', () => {
    const marked = lines.filter(({ above }) => above.startsWith('# † ')).map(({ name }) => name);
    expect(marked).toEqual(variables.filter(([, { secret }]) => secret).map(([name]) => name));
  });
});

describe('the README', () => {
  test('leads to every other document', () => {
    for (const path of DOCUMENTS.slice(1)) expect(README).toContain(`](${path}`);
  });

  test('has every variable with its default, and marks those that may come from a file', () => {
    const rows = tableAfter('variable').map(([name = '', shown = '']) => ({
      name: name.replace(/`| †/g, ''),
      secret: name.endsWith(' †'),
      default: /^`(.*)`$/.exec(shown)?.[1],
    }));
    expect(rows).toEqual(
      variables.map(([name, variable]) => ({
        name,
        secret: variable.secret === true,
        default: variable.default,
      })),
    );
  });

  test('says of a variable that it is required exactly where nothing starts without it', () => {
    const required = tableAfter('variable').flatMap(([name = '', shown]) =>
      shown === 'required' ? [name.replace(/`| †/g, '')] : [],
    );
    const example = parseEnv(read('.env.example'));
    const { SESSION_JWT_JWKS_URL: _, ...needed } = example;
    expect(new Set(required)).toEqual(new Set(Object.keys(needed)));
  });

  test('has every error with its status, and whether trying again may help', () => {
    const rows = tableAfter('`code`').map(([code = '', status, retryable]) => [
      code.replaceAll('`', ''),
      { status: Number(status), retryable: retryable === 'yes' },
    ]);
    const errors = Object.entries(ERRORS).map(([code, { status, retryable }]) => [code, { status, retryable }]);
    expect(rows).toEqual(errors);
  });

  test('names only npm scripts that there are', () => {
    const named = [...README.matchAll(/\bnpm (?:run )?([a-z][a-z:]*)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => name !== 'ci' && scripts[name] === undefined)).toEqual([]);
    expect(named).toEqual(expect.arrayContaining(['ci', 'demo', 'test']));
  });
});

describe.each(DOCUMENTS)('%s', (path) => {
  const text = read(path);
  const here = new URL(path, ROOT);

  test('links to files that exist, and to headings that exist in them', () => {
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const broken = targets.filter((target) => {
      if (/^https?:/.test(target)) return false;
      const url = new URL(target, here);
      const file = fileURLToPath(new URL(url.pathname, url));
      return !existsSync(file) || (url.hash !== '' && !anchorsOf(readFileSync(file, 'utf8')).includes(url.hash));
    });
    expect(broken).toEqual([]);
  });

  test('names files of the repository that exist', () => {
    const named = [...text.matchAll(/`((?:src|test|docs|openapi|scripts)\/[^`\s]+)`/g)].map(([, file = '']) => file);
    expect(named.filter((file) => !existsSync(new URL(file, ROOT)))).toEqual([]);
  });

  test('names no variable that does not exist', () => {
    const known = new Set(variables.flatMap(([name]) => [name, `${name}_FILE`]));
    const named = [...text.matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g)].map(([, name = '']) => name);
    const unknown = named.filter((name) => !known.has(name) && !['X_FILE', 'TEST_REDIS_URL'].includes(name));
    expect(unknown).toEqual([]);
  });
});

/** As GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(
    ([, title = '']) =>
      `#${title
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replace(/\s/g, '-')}`,
  );
}

describe('the documents of the APIs', () => {
  test.each([
    ['openapi/openapi.json', openApiDocument],
    ['openapi/internal.json', internalOpenApiDocument],
  ])('%s is what the code says', async (path, documentOf) => {
    expect(JSON.parse(read(path))).toEqual(JSON.parse(JSON.stringify(await documentOf(version))));
  });

  test('have no operation that the README leaves out, and it has none that they leave out', async () => {
    const documents = await Promise.all([openApiDocument(version), internalOpenApiDocument(version)]);
    const operations = documents.flatMap((document) =>
      Object.entries((document as { paths: Record<string, object> }).paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
      ),
    );
    const named = README.matchAll(/\b(?:GET|POST|DELETE) \/[\w/{}-]+/g);
    expect(new Set([...named].map(([operation]) => operation))).toEqual(new Set(operations));
  });
});

describe('docs/integrate-your-app.md', () => {
  test.each(['kotlin', 'swift'])('in %s hands the SDK its five strings, and tells of refusals', (language) => {
    const [service = ''] = codeIn(APP, language);
    expect(service).toContain('onRequestUserC2CInfo');
    for (const field of ['accessId', 'accessToken', 'expireTime', 'terminalId', 'expend']) {
      expect(service).toMatch(
        new RegExp(`\\b${field}: token\\.${field}\\b|\\b${field} = body\\.getString\\("${field}"\\)`),
      );
    }
    expect(service).toMatch(/"If-None-Match"(:| to) .*"Cache-Control"(:| to) "no-cache"/);
  });
});

test('docker-compose.yml sets only variables that exist, to values the broker starts with', () => {
  const [, block = ''] = /^ {4}environment:\n((?: {6}.*\n)+)/m.exec(read('docker-compose.yml')) ?? [];
  const entries = [...block.matchAll(/^ {6}([A-Z0-9_]+): (.+)$/gm)].map(([, name = '', value = '']) => [
    name,
    value.replace(/^\$\{[A-Z_]+:-(.*)\}$/, '$1'),
  ]);
  const known = new Set(variables.map(([name]) => name));
  expect(entries.map(([name]) => name).filter((name = '') => !known.has(name))).toEqual([]);
  const config = loadConfig(Object.fromEntries(entries));
  expect(config.redis?.encryptionKeys).toHaveLength(1);
});
