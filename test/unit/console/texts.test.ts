import { describe, expect, it } from 'vitest';
import { EN } from '../../../console/texts-en.ts';
import { ZH } from '../../../console/texts-zh.ts';
import { readFile } from '../../support/documents.ts';

/** All texts by path. A function gets its name's arguments as numbers or texts, which is enough to see what it writes. */
function textsOf(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'string') return [[path, value]];
  if (typeof value === 'function') return path.startsWith('.findings') ? [] : [[path, String(value('1', '2', '3'))]];
  return Object.entries(value as object).flatMap(([key, inner]) => textsOf(inner, `${path}.${key}`));
}

describe('the Chinese texts', () => {
  it('have the same keys as the English ones', () => {
    expect(textsOf(ZH).map(([path]) => path)).toEqual(textsOf(EN).map(([path]) => path));
  });

  it('are Chinese, except names and codes', () => {
    const names = /^\.(redis|app|unionId|accessId|runbookAt|actors\.app|demo\.(app|broker))$/;
    const foreign = textsOf(ZH).filter(([path, text]) => !names.test(path) && !/\p{Script=Han}/u.test(text));
    expect(foreign).toEqual([]);
  });

  it('use the terms of the vendor and of engineers', () => {
    const all =
      textsOf(ZH)
        .map(([, text]) => text)
        .join('\n') +
      String(ZH.findings.vendorDown) +
      String(ZH.findings.signatureRefused);
    for (const term of ['令牌', '会话', '熔断', '限流', '终端', '签名', '过期', '刷新']) expect(all).toContain(term);
  });
});

it('every text that console.html names exists in both languages', () => {
  const named = [...readFile('console/console.html').matchAll(/data-text="([^"]+)"/g)].map(([, path]) => `.${path}`);
  expect(named.length).toBeGreaterThan(20);
  for (const texts of [EN, ZH]) {
    const paths = new Set(textsOf(texts).map(([path]) => path));
    expect(named.filter((path) => !paths.has(path))).toEqual([]);
  }
});
