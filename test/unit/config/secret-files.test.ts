import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { VARIABLES } from '../../../src/config/variables.ts';
import { problemsOf, USABLE } from './usable-environment.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'secret-files-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(content: string): string {
  const path = join(folder, `secret-${content.length}`);
  writeFileSync(path, content);
  return path;
}

const { VENDOR_APP_KEY: _, ...WITHOUT_KEY } = USABLE;
const appKeyFrom = (path: string) =>
  loadConfig({ ...WITHOUT_KEY, VENDOR_APP_KEY_FILE: path }).vendor.apps.get('default')?.appKey;
const problemsFrom = (path: string) => problemsOf({ ...WITHOUT_KEY, VENDOR_APP_KEY_FILE: path });

describe('a secret in a file', () => {
  test.each([
    ['canary', 'canary'],
    ['canary\n', 'canary'],
    ['canary\r\n', 'canary'],
    [' canary ', ' canary '],
  ])('%j is read as %j', (content, value) => {
    expect(appKeyFrom(fileOf(content))).toBe(value);
  });

  test('loses one line break at its end and keeps a second one, which an appKey must not have', () => {
    expect(problemsFrom(fileOf('canary\n\n'))).toEqual([
      'VENDOR_APP_KEY must be the appKey that the vendor issued, without control characters, such as the line break ' +
        'that echo adds',
    ]);
  });

  test('is possible for every secret, and for no other variable', () => {
    const path = join(folder, 'nowhere');
    const problems = Object.keys(VARIABLES).flatMap((name) =>
      problemsOf({ ...USABLE, [name]: '', [`${name}_FILE`]: path }),
    );
    const named = problems.flatMap(
      (problem) => problem.match(/^(\w+)_FILE names a file that cannot be read/)?.[1] ?? [],
    );
    const secrets = Object.entries(VARIABLES).flatMap(([name, variable]) => ('secret' in variable ? [name] : []));
    expect(named).toEqual(secrets);
    expect(secrets).toEqual(
      expect.arrayContaining([
        'ADMIN_TOKEN',
        'ADMIN_TOKENS',
        'VENDOR_APPS',
        'SESSION_INTROSPECTION_CLIENT_SECRET',
        'REDIS_URL',
      ]),
    );
  });

  test('is validated like a secret in the environment', () => {
    const [problem, ...others] = problemsOf({ ...USABLE, REDIS_URL_FILE: fileOf('http://canary') });
    expect(problem).toMatch(/^REDIS_URL must be a redis:\/\/ or rediss:\/\/ URL/);
    expect(problem).not.toContain('canary');
    expect(others).toEqual([]);
  });

  test('that cannot be read is reported once, with the reason', () => {
    expect(problemsFrom(join(folder, 'nowhere'))).toEqual([
      'VENDOR_APP_KEY_FILE names a file that cannot be read (ENOENT)',
    ]);
    expect(problemsFrom(folder)).toEqual(['VENDOR_APP_KEY_FILE names a file that cannot be read (EISDIR)']);
    expect(problemsFrom('\0')).toEqual([
      'VENDOR_APP_KEY_FILE names a file that cannot be read (ERR_INVALID_ARG_VALUE)',
    ]);
  });

  test.each(['', '\n'])('that is %j is an error, which names the file', (content) => {
    const path = fileOf(content);
    expect(problemsFrom(path)).toEqual([`VENDOR_APP_KEY_FILE names a file that is empty: ${path}`]);
    expect(problemsOf({ ...USABLE, REDIS_URL_FILE: fileOf(content) })).toHaveLength(1);
  });

  test('must not be in the environment too', () => {
    expect(problemsOf({ ...USABLE, VENDOR_APP_KEY_FILE: fileOf('other-canary') })).toEqual([
      'VENDOR_APP_KEY and VENDOR_APP_KEY_FILE are both set: set only one of them',
    ]);
  });
});
