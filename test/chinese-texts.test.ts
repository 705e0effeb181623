import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isChinese } from './support/chinese.ts';
import { readFile } from './support/documents.ts';

const CODE = ['src', 'scripts', 'console'].flatMap((folder) =>
  readdirSync(new URL(`../${folder}`, import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFile(`${folder}/${name}`)),
);
/** A literal after `zh:`. */
const CHINESE = /\bzh:\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`((?:[^`\\]|\\.)*)`)/g;

test('every text of the code for Chinese readers is Chinese', () => {
  const literals = CODE.flatMap((code) => [...code.matchAll(CHINESE)].map(([, ...texts]) => texts.join('')));
  const texts = literals.map((text) => text.replaceAll('\\`', '`'));
  expect(literals.length).toBeGreaterThan(200);
  const names = ['zh-CN', 'JWK Set（{"keys":[…]}）'];
  expect(texts.filter((text) => !isChinese(text) && !names.includes(text))).toEqual([]);
});

test.each([
  ['the token has ended', false],
  ['token', false],
  ['必须是 at most 5 tags', false],
  ['在 `the token has ended` 之后', true],
  ['App 与 Redis', true],
  ['[RedisTrouble](runbooks.md#redistrouble)', true],
])('%s: %s', (text, expected) => expect(isChinese(text)).toBe(expected));
