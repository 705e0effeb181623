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

test('docs/integrate-your-cloud.md calls every path under /accounts/ of the internal API, and no other', async () => {
  const { paths } = (await internalOpenApiDocument('1.0.0')) as { paths: Record<string, object> };
  const patterns = Object.keys(paths)
    .filter((path) => path.startsWith('/accounts/'))
    .map((path) => new RegExp(`^${path.replaceAll(/{\w+}/g, '[^/]+')}$`));
  const asked = [...PAGE.matchAll(/\$BROKER(\/[^?"]+)/g)].map(([, path = '']) => path);
  expect(asked.filter((path) => !patterns.some((pattern) => pattern.test(path)))).toEqual([]);
  expect(patterns.filter((pattern) => !asked.some((path) => pattern.test(path)))).toEqual([]);
});
