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
      return [folder, [...settings.matchAll(/`([^`]+)`/g)].map(([, line]) => `${line}\n`).join('')];
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

test('docs/integrate-your-cloud.md calls every operation under /accounts/ of the internal API, and no other', async () => {
  const { paths } = (await internalOpenApiDocument('1.0.0')) as { readonly paths: Record<string, object> };
  const known = Object.entries(paths).filter(([path]) => path.startsWith('/accounts/'));
  const operations = known.flatMap(([path, methods]) =>
    Object.keys(methods).map((name) => `${name.toUpperCase()} ${path}`),
  );
  // A path without a parameter comes first: /accounts/lookup also looks like an account.
  const byParameters = known.map(([path]) => path).sort((a, b) => a.split('{').length - b.split('{').length);
  const asked = [...PAGE.matchAll(/^.*curl .*\$BROKER(\/[^?"]+).*$/gm)].map(([line, path = '']) => {
    const method = / -X (\w+)/.exec(line)?.[1] ?? (line.includes(' -d ') ? 'POST' : 'GET');
    return `${method} ${byParameters.find((one) => new RegExp(`^${one.replaceAll(/{\w+}/g, '[^/]+')}$`).test(path))}`;
  });
  expect(new Set(asked)).toEqual(new Set(operations));
});
