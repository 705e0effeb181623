import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import { newFolder } from '../support/new-folder.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/doc-snippets.mjs', import.meta.url));

const SOURCE = 'class App {\n    // docs: login\n    fun logIn() {\n\n        ask()\n    }\n    // docs end\n}\n';
const CODE = 'fun logIn() {\n\n    ask()\n}';

const page = (code: string, mark = '<!-- code: App.kt#login -->\n') =>
  `# Page\n\n${mark}\`\`\`kotlin\n${code}\n\`\`\`\n\nThe end.\n`;

describe('the script that compares code in documents with its source', () => {
  let folder: string;

  beforeEach(() => {
    folder = newFolder();
    mkdirSync(join(folder, 'docs'));
    writeFileSync(join(folder, 'App.kt'), SOURCE);
  });

  const run = (...flags: string[]) =>
    spawnSync(process.execPath, [SCRIPT, ...flags], { cwd: folder, encoding: 'utf8' });
  const check = (text: string) => {
    writeFileSync(join(folder, 'docs/page.md'), text);
    return run();
  };

  test('fails if one character differs, and --write repairs nothing but the code', () => {
    const { status, stderr } = check(page(CODE.replace('ask', 'Ask')));
    expect([status, stderr]).toEqual([1, 'docs/page.md: its code differs from the source. Run: npm run snippets\n']);
    expect(run('--write').status).toBe(0);
    expect(readFileSync(join(folder, 'docs/page.md'), 'utf8')).toBe(page(CODE));
    expect(run().status).toBe(0);
  });

  test('accepts a part that contains others, without their comments', () => {
    writeFileSync(join(folder, 'App.kt'), `// docs: app\n${SOURCE}// docs end\n`);
    expect(check(page(CODE)).status).toBe(0);
    const whole = SOURCE.replaceAll(/^ *\/\/ docs.*\n/gm, '').trimEnd();
    expect(check(page(whole, '<!-- code: App.kt#app -->\n')).status).toBe(0);
  });

  test.each([
    ['the source has no such part', page(CODE).replace('#login', '#logout'), 'App.kt has no single part named logout'],
    ['the source does not exist', page(CODE).replace('App.kt', 'Gone.kt'), 'Gone.kt has no single part named login'],
    [
      'no code follows the comment',
      page(CODE).replace('-->\n', '-->\n\n'),
      'no code follows <!-- code: App.kt#login -->',
    ],
    ...['kotlin', 'swift', 'java'].map((language): [string, string, string] => [
      `code in ${language} has no comment`,
      page(CODE, '').replace('kotlin', language),
      `page.md:3: code in ${language} needs a comment`,
    ]),
  ])('fails if %s', (_, text, message) => {
    const { status, stderr } = check(text);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
  });

  test('leaves code in other languages alone', () => {
    expect(check(page(CODE, '').replace('kotlin', 'js')).status).toBe(0);
  });
});
