import { readdirSync, readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import { allMutants } from '../tools/lua-mutants.ts';
import {
  barrelViolations,
  circleViolations,
  commentViolations,
  globalViolations,
  lengthViolations,
  nameViolations,
  packageViolations,
  rankViolations,
  realTimeViolations,
} from './support/architecture.ts';
import { NODE_FLAGS } from './support/broker-process.ts';
import { importsOf, type Sources } from './support/imports.ts';

function pathsIn(folder: string): string[] {
  const root = fileURLToPath(new URL(folder, import.meta.url));
  return readdirSync(root, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, `${entry.parentPath}/${entry.name}`).replaceAll(sep, '/'));
}

const SRC = new URL('../src/', import.meta.url);
const sources: Sources = new Map(
  [...pathsIn('../src/'), ...pathsIn('../console/').map((path) => `../console/${path}`)]
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [path, readFileSync(new URL(path, SRC), 'utf8')]),
);

const files = (record: Record<string, string>): Sources => new Map(Object.entries(record));

describe('src and console', () => {
  it('has files', () => expect(sources.size).toBeGreaterThan(5));
  it('imports strictly downward', () => expect(rankViolations(sources)).toEqual([]));
  it('uses each library only in its assigned folder', () => expect(packageViolations(sources)).toEqual([]));
  it('has no import circles', () => expect(circleViolations(sources)).toEqual([]));
  it('reads the environment, the clock and random numbers in one file each', () =>
    expect(globalViolations(sources)).toEqual([]));
  it('waits and measures time through the Clock in every part that a simulation runs', () =>
    expect(realTimeViolations(sources)).toEqual([]));
  it('has file names that describe the content', () => expect(nameViolations(sources.keys())).toEqual([]));
  it('has no comment that is wider than the code', () => expect(commentViolations(sources)).toEqual([]));
  it('has no barrels', () => expect(barrelViolations(sources)).toEqual([]));
  it('has no file that is too long, and no small file with a single importer', () =>
    expect(lengthViolations(sources)).toEqual([]));
});

it('test files have names that describe the content', () => expect(nameViolations(pathsIn('./'))).toEqual([]));

describe('the import reader', () => {
  const specifiers = (text: string) => importsOf('http/app.ts', text).map(({ specifier }) => specifier);

  it.each([
    ["import { a } from './a.ts';", './a.ts'],
    ["import type { A } from './a.ts';", './a.ts'],
    ["import a, {\n  b,\n  type C,\n} from './a.ts';", './a.ts'],
    ["import * as a from 'a';", 'a'],
    ["import './a.ts';", './a.ts'],
    ["export { a } from './a.ts';", './a.ts'],
    ["export type { A } from './a.ts';", './a.ts'],
    ["export * from './a.ts';", './a.ts'],
    ["const a = await import('./a.ts');", './a.ts'],
    ["const a = createRequire(import.meta.url);\nconst require = a;\nrequire('b');", 'b'],
    ["type A = import('./a.ts').A;", './a.ts'],
    ["import a from '../package.json' with { type: 'json' };", '../package.json'],
  ])('finds the import in %j', (text, specifier) => expect(specifiers(text)).toEqual([specifier]));

  it.each([
    "// import a from 'a';",
    "/**\n * import a from 'a';\n */",
    "export const from = 1;\nconst a = 'a';",
    "export function f() {\n  return Array.from('abc');\n}",
  ])('finds no import in %j', (text) => expect(specifiers(text)).toEqual([]));

  it.each([
    ['store/redis/keys.ts', '../../token/a.ts', 'token/a.ts'],
    ['../console/console.ts', '../src/token/a.ts', 'token/a.ts'],
    ['../console/console.ts', './format.ts', '../console/format.ts'],
  ])('resolves, in %s, the path %s', (from, specifier, file) => {
    expect(importsOf(from, `import { a } from '${specifier}';`)[0]?.file).toBe(file);
  });
});

describe('the rank rule', () => {
  const violations = (from: string, specifier: string) =>
    rankViolations(files({ [from]: `import { a } from '${specifier}';` }));

  it.each([
    ['token/a.ts', '../broker/b.ts'],
    ['broker/a.ts', '../store/b.ts'],
    ['broker/a.ts', '../http/b.ts'],
    ['session/a.ts', '../vendor-api/b.ts'],
    ['store/redis/a.ts', '../../session/b.ts'],
    ['vendor-api/a.ts', '../telemetry/b.ts'],
    ['telemetry/a.ts', '../broker/b.ts'],
    ['http/a.ts', '../session/b.ts'],
    ['broker/a.ts', '../session/b.ts'],
    ['broker/a.ts', '../telemetry/b.ts'],
    ['http/a.ts', '../config.ts'],
    ['broker/a.ts', '../config.ts'],
    ['http/a.ts', '../logger.ts'],
    ['service.ts', './commands/serve.ts'],
    ['simulator/a.ts', '../vendor-api/signed-call.ts'],
    ['simulator/a.ts', '../broker/b.ts'],
    ['vendor-api/a.ts', '../simulator/b.ts'],
    ['token/a.ts', '../../test/b.ts'],
    ['../console/a.ts', '../src/http/b.ts'],
    ['../console/a.ts', '../test/b.ts'],
    ['http/a.ts', '../../console/b.ts'],
  ])('rejects %s → %s', (from, specifier) => expect(violations(from, specifier)).toHaveLength(1));

  it.each([
    ['token/a.ts', './b.ts'],
    ['broker/a.ts', '../token/b.ts'],
    ['store/redis/a.ts', './b.ts'],
    ['http/a.ts', '../broker/b.ts'],
    ['session/a.ts', '../token/b.ts'],
    ['service.ts', './config.ts'],
    ['service.ts', './store/redis/a.ts'],
    ['commands/demo.ts', '../simulator/b.ts'],
    ['commands/serve.ts', '../config.ts'],
    ['main.ts', './commands/serve.ts'],
    ['simulator/a.ts', '../token/b.ts'],
  ])('allows %s → %s', (from, specifier) => expect(violations(from, specifier)).toEqual([]));

  it('lets the page import types of the server, and nothing that runs', () => {
    const imports = (module: string) =>
      rankViolations(files({ '../console/a.ts': `import type { A } from '../src/${module}';` }));
    expect(imports('http/routes/status.ts')).toEqual([]);
    expect(imports('token/errors.ts')).toEqual([]);
    expect(imports('broker/readiness.ts')).toHaveLength(1);
  });

  it('rejects a module without a rank', () => {
    expect(rankViolations(files({ 'stuff/a.ts': '' }))).toHaveLength(1);
  });
});

describe('the package rule', () => {
  const violations = (from: string, specifier: string) =>
    packageViolations(files({ [from]: `import { a } from '${specifier}';` }));

  it.each([
    ['store/a.ts', 'undici'],
    ['store/memory/a.ts', 'ioredis'],
    ['store/codec.ts', 'ioredis'],
    ['service.ts', 'fastify'],
    ['simulator/a.ts', 'fastify'],
    ['service.ts', '@fastify/helmet'],
    ['service.ts', 'fastify-type-provider-zod'],
    ['http/a.ts', 'prom-client'],
    ['http/a.ts', '@opentelemetry/api'],
    ['broker/a.ts', 'zod'],
    ['session/a.ts', 'zod/mini'],
    ['vendor-api/client.ts', 'zod'],
    ['token/a.ts', 'lru-cache'],
  ])('rejects %s → %s', (from, specifier) => expect(violations(from, specifier)).toHaveLength(1));

  it.each([
    ['vendor-api/a.ts', 'undici'],
    ['session/a.ts', 'undici'],
    ['store/redis/a.ts', 'ioredis'],
    ['http/public/a.ts', 'fastify'],
    ['telemetry/a.ts', 'prom-client'],
    ['config.ts', 'zod'],
    ['vendor-api/answer.ts', 'zod'],
    ['store/redis/record-codec.ts', 'zod'],
    ['http/a.ts', 'zod'],
    ['token/a.ts', 'node:crypto'],
    ['broker/a.ts', 'lru-cache'],
  ])('allows %s → %s', (from, specifier) => expect(violations(from, specifier)).toEqual([]));
});

describe('the circle rule', () => {
  it('reports circles of any length, each once', () => {
    const circle = {
      'token/a.ts': "import './b.ts';",
      'token/b.ts': "import type { C } from './c.ts';",
      'token/c.ts': "import './a.ts';",
    };
    expect(circleViolations(files(circle))).toEqual([
      'import circle: token/a.ts → token/b.ts → token/c.ts → token/a.ts',
    ]);
    expect(circleViolations(files({ 'main.ts': "import './main.ts';" }))).toHaveLength(1);
  });

  it('finds a circle behind files that it has already visited', () => {
    const late = {
      'token/leaf.ts': '',
      'token/entry.ts': "import './leaf.ts';\nimport './a.ts';",
      'token/a.ts': "import './leaf.ts';\nimport './b.ts';",
      'token/b.ts': "import './a.ts';",
    };
    expect(circleViolations(files(late))).toEqual(['import circle: token/a.ts → token/b.ts → token/a.ts']);
  });

  it('allows two paths to the same file', () => {
    const diamond = {
      'token/a.ts': "import './b.ts';\nimport './c.ts';",
      'token/b.ts': "import './d.ts';",
      'token/c.ts': "import './d.ts';",
      'token/d.ts': '',
    };
    expect(circleViolations(files(diamond))).toEqual([]);
  });
});

describe('the rule for globals', () => {
  it.each([
    'const { HOME } = process.env;',
    "const home = process['env'];",
    'const now = Date.now();',
    'const clock = { now: Date.now };',
    'const now = new Date();',
    'const number = Math.random();',
  ])('rejects %j in another file', (text) => expect(globalViolations(files({ 'broker/a.ts': text }))).toHaveLength(1));

  it('allows them in the assigned files', () => {
    const assigned = {
      'main.ts': 'await run(process.env);',
      'token/clock.ts': 'const clock = { now: () => Date.now(), random: () => Math.random() };',
      'broker/a.ts': '// never Date.now()\nconst date = new Date(clock.now());',
    };
    expect(globalViolations(files(assigned))).toEqual([]);
  });
});

describe('the rule for timers', () => {
  const violations = (path: string, text: string) => realTimeViolations(files({ [path]: text }));

  it.each([
    'const timer = setTimeout(done, 5);',
    'setInterval(check, 5).unref();',
    'setImmediate(done);',
    'const signal = AbortSignal.timeout(5);',
    'const startedAt = performance.now();',
    "import { setTimeout as sleep } from 'node:timers/promises';",
  ])('rejects %j where a simulation runs the code', (text) => {
    for (const folder of ['token', 'broker', 'vendor-api', 'session', 'store/memory'])
      expect(violations(`${folder}/a.ts`, text)).toHaveLength(1);
  });

  it('allows timers of the Clock, methods of the same name, and any timer elsewhere', () => {
    expect(violations('broker/a.ts', 'clock.setTimer(done, 5);\nserver.setTimeout(5);')).toEqual([]);
    expect(violations('store/redis/a.ts', 'setTimeout(done, 5);')).toEqual([]);
    expect(violations('token/clock.ts', 'setTimeout(done, 5);')).toEqual([]);
  });
});

describe('the rules for files', () => {
  it.each([
    'broker/utils.ts',
    'helpers/a.ts',
    'http/common/a.ts',
    'shared.test.ts',
    'token/types.ts',
    'store/index.ts',
  ])('reject the name %s', (path) => expect(nameViolations([path])).toHaveLength(1));

  it('allow names that contain such a word', () => {
    expect(nameViolations(['store/shared-budget.ts', 'http/content-types.ts'])).toEqual([]);
  });

  it('reject a barrel', () => {
    expect(barrelViolations(files({ 'token/all.ts': "export * from './subject.ts';" }))).toHaveLength(1);
  });

  it('reject a file with more than 400 lines', () => {
    expect(lengthViolations(files({ 'a.ts': 'x\n'.repeat(400) }))).toEqual([]);
    expect(lengthViolations(files({ 'a.ts': 'x\n'.repeat(401) }))).toHaveLength(1);
  });

  it('reject a file with fewer than 40 lines and fewer than two importers', () => {
    const small = { 'token/a.ts': 'x\n'.repeat(39) };
    const importer = `import { a } from './a.ts';\n${'x\n'.repeat(40)}`;
    expect(lengthViolations(files(small))).toHaveLength(1);
    expect(lengthViolations(files({ ...small, 'token/b.ts': importer }))).toHaveLength(1);
    expect(lengthViolations(files({ ...small, 'token/b.ts': importer, 'token/c.ts': importer }))).toEqual([]);
  });

  it('allow a small entry point that no file imports', () => {
    const loader = `const a = await import('./a.ts');\n${'x\n'.repeat(40)}`;
    const entries = { 'main.ts': 'x\n', 'commands/run.ts': loader, 'commands/a.ts': 'x\n' };
    expect(lengthViolations(files(entries))).toEqual([]);
    expect(lengthViolations(files({ ...entries, 'config/a.ts': 'x\n' }))).toHaveLength(1);
  });
});

test('the image, npm start, the guides for production and the tests run Node.js with the same flags', () => {
  const root = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
  const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(root('Dockerfile'))?.[1] ?? '[]');
  expect(entrypoint).toEqual(['node', ...NODE_FLAGS, '/app/dist/main.js']);
  expect(JSON.parse(root('package.json')).scripts.start).toBe(['node', ...NODE_FLAGS, 'dist/main.js serve'].join(' '));
  for (const guide of ['docs/production.md', 'docs/zh/production.md']) {
    expect(root(guide)).toContain(['\nnode', ...NODE_FLAGS, '--env-file=.env dist/main.js serve\n'].join(' '));
  }
});

test('each script for Redis has a mutant, and each mutant finds its place in the script', () => {
  expect(allMutants).not.toThrow();
});
