import { describe, expect, test } from 'vitest';
import { GUARANTEES } from '../scripts/reference/guarantees.ts';
import { GUARANTEES_ZH } from '../scripts/reference/guarantees-zh.ts';
import { guaranteeSections } from '../scripts/reference/tables.ts';
import { VARIABLES, type Variable } from '../src/config/variables.ts';
import { readFile, tableAfter } from './support/documents.ts';

describe('docs/guarantees.md', () => {
  test.each(GUARANTEES.map(({ title, rows }) => [title, rows] as const))(
    'names only tests that exist, by their titles: %s',
    (_, rows) => {
      expect(rows).not.toEqual([]);
      const missing = rows.filter(({ test: title, file }) => !titlesIn(readFile(file)).has(title));
      expect(missing).toEqual([]);
    },
  );

  test('has ten guarantees and a section for the rest', () => {
    const numbers = GUARANTEES.map(({ title }) => /^\d+(?=\. )|^Besides$/.exec(title)?.[0]);
    expect(numbers).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', 'Besides']);
  });

  test('shows each section and each row', () => {
    expect(readFile('docs/guarantees.md')).toContain(guaranteeSections('en').get('guarantees'));
    expect(readFile('docs/zh/guarantees.md')).toContain(guaranteeSections('zh').get('guarantees'));
  });

  test('has no Chinese text of a guarantee that is gone', () => {
    const texts = GUARANTEES.flatMap(({ title, text, rows }) => [title, text, ...rows.map((row) => row.guarantee)]);
    expect(Object.keys(GUARANTEES_ZH).filter((text) => !texts.includes(text))).toEqual([]);
  });
});

describe('docs/key-rotation.md', () => {
  const PARTS = [
    'Who needs it.',
    'Before you start.',
    'Steps',
    'How to see that it worked.',
    'How to go back.',
    'What apps see.',
  ];
  const text = readFile('docs/key-rotation.md');
  const rows = tableAfter(text, 'secret');
  const sections = new Map(text.split('\n## ').map((section) => [section.split('\n')[0] ?? '', section]));
  const rotations = rows.map(([, , link = '']) => /^\[(.+)\]/.exec(link)?.[1] ?? '');
  const testsOf = (section = '') =>
    [...(/^\*\*Test:\*\* (.+)$/m.exec(section)?.[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, title]) => title);

  test('has a section for every secret of the configuration', () => {
    const secrets = Object.entries<Variable<unknown>>(VARIABLES).flatMap(([name, { secret }]) =>
      secret ? [name] : [],
    );
    const named = rows.flatMap(([, settings = '']) => [...settings.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(new Set(named)).toEqual(new Set([...secrets, 'SESSION_JWT_JWKS_URL']));
  });

  test.each(rotations)(
    '%s: says how to replace the secret, how to see that it worked, and names its tests',
    (title) => {
      const section = sections.get(title) ?? '';
      const parts = [...section.matchAll(/^\*\*(.+?)\*\*/gm)].map(([, part = '']) => part);
      expect(parts.filter((part) => PARTS.includes(part))).toEqual(PARTS);
      expect(testsOf(section)).not.toEqual([]);
    },
  );

  test('names each test of the rotations, by its title, and no other one', () => {
    const code = readFile('test/integration/secret-rotations.test.ts');
    const rotationsOf = code.matchAll(/(?:^ *test\(|^ {2}\[)\s*(['"])((?:(?!\1).)+)\1,/gm);
    // The rows of test.each have whole titles.
    expect(code).toContain("])('%s', ");
    const titles = [...rotationsOf].map(([, , title]) => title);
    const named = [...sections.values()].flatMap(testsOf);
    expect(new Set(named)).toEqual(new Set(titles));
  });
});

/** The titles of the tests in a file. */
function titlesIn(code: string): ReadonlySet<string> {
  const calls = code.matchAll(/(?:\b(?:it|test)(?:\.concurrent)?|\))\(\s*(['"`])((?:(?!\1)[^\\\n]|\\.)+)\1,/g);
  return new Set([...calls].map(([, , title = '']) => title));
}
