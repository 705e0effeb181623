import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { REPOSITORY } from '../../docs/site/documents.ts';

const read = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8');
const ids = [...read('clients/cases.md').matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, id]) => id as string);

/** The names of the tests in each language: a quoted text, a name in backticks, a function. */
const LANGUAGES = {
  JavaScript: { folder: 'test/clients', name: /'([a-z0-9-]+)(?:[:,] [^']*)?'/g },
  Kotlin: { folder: 'clients/kotlin/core/src', name: /fun `([a-z0-9-]+) - /g },
  Swift: { folder: 'clients/swift/Tests', name: /func test([A-Za-z0-9]+)/g },
};

const plain = (name: string) => name.replaceAll('-', '').toLowerCase();

describe('each case of clients/cases.md has a test with its id', () => {
  test.each(Object.entries(LANGUAGES))('in %s', (_, { folder, name }) => {
    const files = readdirSync(join(REPOSITORY, folder), { recursive: true, encoding: 'utf8' });
    const tests = files.filter((file) => /test.*\.(kt|swift|ts)$/i.test(file) && !file.endsWith('cases.test.ts'));
    const names = tests.flatMap((file) =>
      [...read(join(folder, file)).matchAll(name)].map(([, found]) => plain(`${found}`)),
    );
    expect(ids.length).toBeGreaterThan(30);
    expect(ids.filter((id) => !names.includes(plain(id)))).toEqual([]);
  });
});
