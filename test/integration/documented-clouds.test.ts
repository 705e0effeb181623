import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';
import { internalOpenApiDocument } from '../../scripts/openapi-document.ts';
import { loadConfig } from '../../src/config/config.ts';
import { SESSION_MODES } from '../../src/config/variables.ts';
import { CLOUDS } from '../examples/cloud-under-test.ts';
import { readFile, tableAfter } from '../support/documents.ts';

const PAGE = readFile('docs/integrate-your-cloud.md');
/** The blocks of settings: for the vendor, and for a mode. */
const [VENDOR = '', ...SESSIONS] = [...PAGE.matchAll(/^```sh\n((?:VENDOR|SESSION)_[^`]*)```$/gm)].map(
  ([, block = '']) => block,
);

/** The settings of each cloud in a table of clouds, by the path of its example. */
function settingsIn(table: readonly (readonly string[])[]): Map<string, string> {
  return new Map(
    table.map(([, example = '', settings = '']) => {
      const [, folder = ''] = /\(\S*(examples\/\S+)\/README(?:\.zh-CN)?\.md\)/.exec(example) ?? [];
      return [
        folder,
        [...settings.matchAll(/`([^`]+)`/g)].map(([, line = '']) => `${line.replaceAll('\\|', '|')}\n`).join(''),
      ];
    }),
  );
}

const CLOUD_TABLE = settingsIn(tableAfter(PAGE, 'your sessions'));

describe.each([
  ['docs/integrate-your-cloud.md', 'your sessions'],
  ['docs/zh/integrate-your-cloud.md', '你的会话'],
])('%s', (path, firstCell) => {
  test.each(CLOUDS)('has the settings of examples/clouds/%s', (cloud) => {
    const settings = settingsIn(tableAfter(readFile(path), firstCell));
    expect(settings.get(`examples/clouds/${cloud}`)).toBe(readFile(`examples/clouds/${cloud}/broker.env`));
  });
});

test.each(SESSION_MODES)('the broker accepts the settings of docs/integrate-your-cloud.md for %s', (mode) => {
  const blocks = [...CLOUD_TABLE.values(), ...SESSIONS].filter((block) => block.startsWith(`SESSION_MODE=${mode}\n`));
  expect(blocks).not.toEqual([]);
  for (const block of blocks) expect(loadConfig(parseEnv(VENDOR + block)).session.mode).toBe(mode);
});

interface Operation {
  readonly responses: Record<string, { content?: Record<string, { examples: { example: { value: unknown } } }> }>;
}

/** The operations under /accounts/ of the internal API, by method and path. */
async function accountOperations(): Promise<Map<string, Operation>> {
  const { paths } = (await internalOpenApiDocument('1.0.0')) as {
    readonly paths: Record<string, Record<string, Operation>>;
  };
  const known = Object.entries(paths).filter(([path]) => path.startsWith('/accounts/'));
  // A path without a parameter comes first: /accounts/lookup also looks like an account.
  known.sort(([one], [other]) => one.split('{').length - other.split('{').length);
  return new Map(
    known.flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
    ),
  );
}

/** The operation that a line of the document calls; `undefined` if it calls none. */
function calledIn(line: string, operations: Iterable<string>): string | undefined {
  const [, path] = /curl .*\$BROKER(\/[^?"]+)/.exec(line) ?? [];
  if (path === undefined) return undefined;
  const method = / -X (\w+)/.exec(line)?.[1] ?? (line.includes(' -d ') ? 'POST' : 'GET');
  return (
    [...operations].find((one) => new RegExp(`^${one.replaceAll(/{\w+}/g, '[^/]+')}$`).test(`${method} ${path}`)) ??
    line
  );
}

/** The names and types of all fields. Every accessId is one name. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [/^-?\d+$/.test(name) ? 'accessId' : name, shapeOf(field)]),
  );
}

test('docs/integrate-your-cloud.md calls every operation under /accounts/ of the internal API, and no other', async () => {
  const operations = [...(await accountOperations()).keys()];
  const called = PAGE.split('\n').flatMap((line) => calledIn(line, operations) ?? []);
  expect(new Set(called)).toEqual(new Set(operations));
});

test('docs/integrate-your-cloud.md shows answers with the fields that they have', async () => {
  const operations = await accountOperations();
  const shown = [...PAGE.matchAll(/```sh\n([^`]*)\n```\n\n```json\n([^`]*)\n```/g)].flatMap(
    ([, commands = '', answer = '']) => {
      const name = calledIn(commands.split('\n').at(-1) ?? '', operations.keys());
      return name === undefined ? [] : [[name, shapeOf(JSON.parse(answer))] as const];
    },
  );
  const described = shown.map(([name]) => {
    const { content } = operations.get(name)?.responses['200'] ?? {};
    return [name, shapeOf(content?.['application/json']?.examples.example.value)];
  });
  expect(shown.length).toBeGreaterThanOrEqual(3);
  expect(shown).toEqual(described);
});
