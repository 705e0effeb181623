import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { internalOpenApiDocument, openApiDocument } from '../scripts/openapi-document.ts';
import { run } from '../src/commands/run.ts';
import { SESSION_MODES, VARIABLES } from '../src/config/variables.ts';
import { ERRORS } from '../src/token/errors.ts';
import { TOKEN_FIELDS } from '../src/token/sdk-token.ts';
import { readFile, tableAfter } from './support/documents.ts';
import { headingsOf, linksOf } from './support/markdown.ts';
import { FAULT_KINDS } from './unit/vendor-api/every-fault.ts';

const ROOT = new URL('../', import.meta.url);

const README = readFile('README.md');
/** Variables that the SDK of OpenTelemetry reads by itself. */
const READ_BY_THE_SDK = ['OTEL_EXPORTER_OTLP_TIMEOUT', 'OTEL_EXPORTER_OTLP_COMPRESSION', 'OTEL_BSP_SCHEDULE_DELAY'];
/** Variables that are not settings of the broker, and where they are. */
const OTHER_VARIABLES = [
  ...['X_FILE', 'NODE_EXTRA_CA_CERTS', 'TEST_REDIS_URL', 'DOCS_REPOSITORY_URL', ...READ_BY_THE_SDK],
  ...namesIn('Dockerfile', /^ARG (\w+)/gm),
  ...namesIn('docker-compose.yml', /\$\{(\w+)/g),
  ...namesIn('.github/workflows/release.yml', /secrets\.(\w+)/g),
];
const INDEX = readFile('docs/README.md');
const CLOUD = readFile('docs/integrate-your-cloud.md');
const SECURITY = readFile('docs/security.md');
const { version, scripts } = JSON.parse(readFile('package.json')) as {
  version: string;
  scripts: Record<string, string>;
};
/** Every Markdown file of this repository. */
const DOCUMENTS = markdownIn('');
const DECISIONS = DOCUMENTS.filter((path) => /^docs\/adr\/\d/.test(path));

function namesIn(path: string, name: RegExp): string[] {
  return [...readFile(path).matchAll(name)].map(([, found = '']) => found);
}

function markdownIn(folder: string): string[] {
  return readdirSync(new URL(`./${folder}`, ROOT), { withFileTypes: true }).flatMap((entry) => {
    const path = folder + entry.name;
    if (entry.isDirectory())
      return /^(?:node_modules|dist|release|target|\.git|\.build)$/.test(entry.name) ? [] : markdownIn(`${path}/`);
    return path.endsWith('.md') ? [path] : [];
  });
}

test('the sizes of Redis are the bytes of a token that the bench counts, and half as much again', () => {
  const bytes = Number(
    /REDIS_BYTES = ([\d_]+)/.exec(readFile('tools/bench/src/smoke/smoke.ts'))?.[1]?.replace('_', ''),
  );
  const rows = [...readFile('docs/production.md').matchAll(/^\| ([\d,]+)( million)? \| ([\d.]+) GB/gm)];
  expect(rows.map(([, terminals]) => terminals)).toEqual(['300,000', '1', '10', '100']);
  for (const [row, terminals = '', million, size] of rows) {
    const count = Number(terminals.replace(',', '')) * (million ? 1e6 : 1);
    expect(Math.abs(Number(size) / ((count * bytes * 1.5) / 1e9) - 1), row).toBeLessThan(0.04);
  }
});

describe('the README', () => {
  test('has less than 200 lines', () => expect(README.split('\n').length).toBeLessThan(200));

  test('leads to the index of the documents, and to the documents of the project', () => {
    const project = DOCUMENTS.filter((path) => /^[A-Z_]+\.md$/.test(path) && path !== 'README.md');
    expect(project.length).toBeGreaterThan(3);
    for (const path of ['docs/README.md', ...project]) expect(README).toContain(`](${path}`);
  });

  test('names only npm scripts that exist', () => {
    const named = [...README.matchAll(/\bnpm (?:run )?([a-z][a-z:]*)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => name !== 'ci' && scripts[name] === undefined)).toEqual([]);
    expect(named).toEqual(expect.arrayContaining(['ci', 'demo', 'test']));
  });

  test('shows the answer with the fields that the broker sends', () => {
    const [, example = '{}'] = /```json\n(.*)\n```/.exec(README) ?? [];
    expect(Object.keys(JSON.parse(example))).toEqual([...TOKEN_FIELDS]);
  });
});

test('docs/README.md leads to every document in docs/', () => {
  const inDocs = DOCUMENTS.filter((path) => /^docs\/[^/]+\.md$/.test(path) && path !== 'docs/README.md');
  for (const path of inDocs) expect(INDEX).toContain(`](${path.replace('docs/', '')})`);
});

describe('the English documents in docs/', () => {
  const wordsIn = (paths: readonly string[]) =>
    paths.reduce((words, path) => words + readFile(path).split(/\s+/).filter(Boolean).length, 0);
  const inDocs = DOCUMENTS.filter((path) => /^docs\/(?:adr\/)?[^/]+\.md$/.test(path));

  test('are at most 17, and the decision records', () => {
    expect(inDocs.filter((path) => !path.startsWith('docs/adr/')).length).toBeLessThanOrEqual(17);
  });

  test('have at most 38,000 words', () => expect(wordsIn(inDocs)).toBeLessThanOrEqual(38_000));

  /** The documents in the table of a reader in docs/README.md. */
  const listOf = (reader: string) => {
    const section = INDEX.split('\n## ').find((text) => text.startsWith(`${reader}\n`)) ?? '';
    return [...section.matchAll(/^\| \[[^\]]+\]\(([\w-]+\.md)\)/gm)].map(([, name]) => `docs/${name}`);
  };

  test.each([
    ['App developers', 3_000],
    ['Operators', 12_000],
  ])('for %s have at most %d words', (reader, most) => {
    expect(listOf(reader)).not.toEqual([]);
    expect(wordsIn(listOf(reader))).toBeLessThanOrEqual(most);
  });
});

test('each promise of docs/reliability.md has a test', () => {
  const [, promises = ''] = /\n## Promises\n([\s\S]*?)\n## /.exec(readFile('docs/reliability.md')) ?? [];
  const rows = promises.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| promise |'));
  expect(rows.length).toBeGreaterThan(30);
  const hasTests = (row: string) => {
    const files = [...(row.split(' | ').at(-1) ?? '').matchAll(/`([^`]+)`/g)].map(([, file = '']) => file);
    return files.length > 0 && files.every((file) => file.endsWith('.test.ts') && existsSync(new URL(file, ROOT)));
  };
  expect(rows.filter((row) => !hasTests(row))).toEqual([]);
});

test('docs/settings.md lists every command', async () => {
  const help: string[] = [];
  const terminal = {
    out: (text: string) => help.push(text),
    err: () => undefined,
    env: {},
    version,
  };
  expect(await run(['--help'], terminal)).toBe(0);
  const commands = [...help.join('\n').matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => `\`${name}\``);
  expect(commands).toContain('`serve`');
  expect(tableAfter(readFile('docs/settings.md'), 'command').map(([name]) => name)).toEqual(commands);
});

test('docs/errors.md lists every error with its status, and whether a retry may help', () => {
  const text = readFile('docs/errors.md');
  const rows = tableAfter(text, '`code`').map(([code = '', status, retryable]) => [
    code.replaceAll('`', ''),
    { status: Number(status), retryable: retryable === 'yes' },
  ]);
  const errors = Object.entries(ERRORS).map(([code, { status, retryable }]) => [code, { status, retryable }]);
  expect(rows).toEqual(errors);
  const example = JSON.parse(/```json\n(.*)\n```/.exec(text)?.[1] ?? '{}');
  const { status, title, retryable } = ERRORS.session_expired;
  const type = 'urn:sdk-token-broker:problem:session_expired';
  const requestId = expect.any(String);
  expect(example).toEqual({ type, title, status, code: 'session_expired', retryable, requestId });
});

test('the index of the decision records leads to every record', () => {
  const index = readFile('docs/adr/README.md');
  expect(DECISIONS).not.toEqual([]);
  for (const path of DECISIONS) expect(index).toContain(`](${path.replace('docs/adr/', '')})`);
});

describe.each(DOCUMENTS)('%s', (path) => {
  const text = readFile(path);
  const here = new URL(path, ROOT);

  test('links only to existing files and headings', () => {
    const broken = linksOf(text).filter((target) => {
      if (/^(?:https?|mailto):/.test(target)) return false;
      const url = new URL(target, here);
      const file = fileURLToPath(new URL(url.pathname, url));
      return !existsSync(file) || (url.hash !== '' && !anchorsOf(file).has(decodeURIComponent(url.hash)));
    });
    expect(broken).toEqual([]);
  });

  test('names only files that exist in the repository', () => {
    const named = [...text.matchAll(/`((?:src|console|test|docs|openapi|scripts)\/[^`\s]+)`/g)].map(
      ([, file = '']) => file,
    );
    const exists = (file: string) => [ROOT, here].some((folder) => existsSync(new URL(file, folder)));
    expect(named.filter((file) => !exists(file))).toEqual([]);
  });

  // An example or a client has settings of its own.
  test.skipIf(/^(?:examples|clients)\//.test(path))('names only variables that exist', () => {
    const known = new Set(Object.keys(VARIABLES).flatMap((name) => [name, `${name}_FILE`]));
    const named = [...text.matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`/g)].map(([, name = '']) => name);
    const unknown = named.filter((name) => !known.has(name) && !OTHER_VARIABLES.includes(name));
    expect(unknown).toEqual([]);
  });
});

function anchorsOf(file: string): ReadonlySet<string> {
  return new Set(headingsOf(readFileSync(file, 'utf8')).map(({ anchor }) => `#${anchor}`));
}

test('the source code refers only to existing documents and headings', () => {
  const references = ['src/', 'console/']
    .flatMap((folder) =>
      readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map((path) => folder + path),
    )
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => [...readFile(path).matchAll(/([\w./-]+\.md)((?:(?:,| and) "[^"\n]+")*)/g)])
    .map(([, file = '', quoted = '']) => ({
      file,
      titles: [...quoted.matchAll(/"([^"]+)"/g)].map(([, title]) => title),
    }));
  expect(references.length).toBeGreaterThan(10);
  const wrong = references.filter(({ file, titles }) => {
    if (!existsSync(new URL(file, ROOT))) return true;
    const headings = headingsOf(readFile(file)).map(({ title }) => title);
    return titles.some((title = '') => !headings.includes(title));
  });
  expect(wrong).toEqual([]);
});

describe('the documents of the APIs', () => {
  test.each([
    ['openapi/openapi.json', openApiDocument],
    ['openapi/internal.json', internalOpenApiDocument],
  ])('%s matches the code', async (path, documentOf) => {
    expect(JSON.parse(readFile(path))).toEqual(JSON.parse(JSON.stringify(await documentOf(version))));
  });
});

describe.each(SESSION_MODES)('the session mode %s', (mode) => {
  test('is in the security scheme of openapi/openapi.json', () => {
    const { components } = JSON.parse(readFile('openapi/openapi.json')) as {
      components: { securitySchemes: { session: { description: string } } };
    };
    expect(components.securitySchemes.session.description).toContain(`\`${mode}\`: `);
  });

  test('has a row and a section in docs/integrate-your-cloud.md', () => {
    const modes = tableAfter(CLOUD, '`SESSION_MODE`').map(([cell = '']) => /^\[`(.+)`\]/.exec(cell)?.[1]);
    expect(modes).toContain(mode);
    expect(CLOUD).toMatch(new RegExp(`^## .*\`${mode}\``, 'm'));
  });

  test('has its rules in docs/security.md', () => {
    expect(SECURITY).toMatch(new RegExp(`^[-|] \`${mode}\``, 'm'));
  });

  test('is in the glossary', () => {
    expect(/^\| session mode \|.*$/m.exec(readFile('docs/architecture.md'))?.[0]).toContain(`\`${mode}\``);
  });
});

/** The names in the first column of a table. */
function namesInTable(path: string, firstCell: string): Set<string> {
  return new Set(tableAfter(readFile(path), firstCell).flatMap(([cell = '']) => cell.match(/(?<=`)\w+(?=`)/g) ?? []));
}

test.each([
  ['docs/integrate-your-app.md', []],
  // The broker adds it.
  ['docs/vendor-login.md', ['expend']],
])('%s has a row for each field of a token', (path, added) => {
  const names = namesInTable(path, 'field');
  expect(TOKEN_FIELDS.filter((name) => !names.has(name))).toEqual(added);
});

describe('every error', () => {
  test('that the app shows to the user (403) is in docs/integrate-your-app.md', () => {
    const forbidden = Object.entries(ERRORS).flatMap(([code, { status }]) => (status === 403 ? [code] : []));
    expect(namesInTable('docs/integrate-your-app.md', '`code`')).toEqual(new Set(forbidden));
  });

  test('but those of addresses has its kind in the test of the client for Kotlin', () => {
    const tested = namesIn(
      'clients/kotlin/core/src/test/kotlin/io/sdktokenbroker/BrokerErrorTest.kt',
      /"(\w+)" to Kind/g,
    );
    expect(new Set([...tested, 'not_found', 'method_not_allowed'])).toEqual(new Set(Object.keys(ERRORS)));
  });

  test('of a sent login is a `reason` in docs/runbooks.md', () => {
    const kinds = FAULT_KINDS.filter((kind) => kind !== 'circuit_open');
    expect(namesInTable('docs/runbooks.md', '`reason`')).toEqual(new Set(kinds));
  });
});

test.each([
  ['docs/test-results.md', 'board', 'chaos'],
  ['docs/test-results.md', 'mistakes', 'reference'],
  ['docs/performance.md', 'figures', 'bench'],
])('%s has one place for the output of npm run: %s', (path, name, script) => {
  const place = new RegExp(
    `^<!-- ${name}: written by npm run ${script} -->\\n[\\s\\S]*?^<!-- end of ${name} -->$`,
    'gm',
  );
  expect(readFile(path).match(place)).toHaveLength(1);
});
