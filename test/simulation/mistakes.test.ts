import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MISTAKES, readResults, withMistake } from './mistakes.ts';

const ROOT = join(import.meta.dirname, '../..');

test.each(MISTAKES.map((mistake) => [mistake.name, mistake] as const))(
  '"%s": its text occurs once, and the constants of its code exist',
  (_, mistake) => {
    const text = readFileSync(join(ROOT, mistake.file), 'utf8');
    expect(withMistake(mistake, text)).not.toBe(text);
    const constants = mistake.to?.match(/\b[A-Z][A-Z\d]*_[A-Z\d_]+\b/g) ?? [];
    expect(constants.filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
  },
);

test('a mistake whose text does not occur once is refused', () => {
  const mistake = { name: 'a mistake', file: 'a.ts', from: 'one', to: 'two' };
  expect(withMistake(mistake, 'one and')).toBe('two and');
  for (const text of ['nothing', 'one and one'])
    expect(() => withMistake(mistake, text)).toThrow('"a mistake": a.ts contains');
});

test('no two mistakes have the same name', () => {
  expect(new Set(MISTAKES.map(({ name }) => name)).size).toBe(MISTAKES.length);
});

test('the results of the latest run name no other mistake', () => {
  const names = new Set(MISTAKES.map(({ name }) => name));
  expect(Object.keys(readResults().findings).filter((name) => !names.has(name))).toEqual([]);
});
