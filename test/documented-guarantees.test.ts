import { describe, expect, test } from 'vitest';
import { readFile } from './support/documents.ts';

describe('docs/reliability.md', () => {
  const [, ...guarantees] = readFile('docs/reliability.md').split(/\n### (?=\d+\. |Besides\n)/);
  const rowsOf = (text: string) =>
    [...text.matchAll(/^\| (.+) \| (.+) \| `(test\/.+)` \|$/gm)].map((row) => row.slice(1));

  test.each(guarantees.map((text) => [text.split('\n')[0], rowsOf(text)] as const))(
    'names only tests that exist, by their titles: %s',
    (_, rows) => {
      expect(rows).not.toEqual([]);
      const missing = rows.filter(([, title = '', file = '']) => !titlesIn(readFile(file)).has(title));
      expect(missing).toEqual([]);
    },
  );

  test('has ten guarantees and a section for the rest', () => expect(guarantees).toHaveLength(11));
});

/** The titles of the tests in a file. */
function titlesIn(code: string): ReadonlySet<string> {
  const calls = code.matchAll(/(?:\b(?:it|test)|\))\(\s*(['"`])((?:(?!\1)[^\\\n]|\\.)+)\1,/g);
  return new Set([...calls].map(([, , title = '']) => title));
}
