import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { translationOf } from '../docs/site/documents.ts';
import { parityProblems } from './support/document-parity.ts';
import { readFile } from './support/documents.ts';

/** The documents that exist in English and in Chinese. */
const TRANSLATED = [
  'README.md',
  'docs/get-started.md',
  'docs/integrate-your-app.md',
  'docs/integrate-your-cloud.md',
  'docs/production.md',
  'docs/key-rotation.md',
  'docs/runbooks.md',
  'docs/errors.md',
  'docs/settings.md',
  'docs/security.md',
  'docs/console.md',
  'docs/metrics.md',
  'docs/reliability.md',
  'docs/README.md',
  'clients/kotlin/README.md',
  'clients/swift/README.md',
  'clients/javascript/README.md',
  'clients/spring-boot-starter/README.md',
  'deploy/helm/sdk-token-broker/README.md',
  'examples/clouds/README.md',
  'examples/clouds/express-session/README.md',
  'examples/clouds/oidc-provider/README.md',
  'examples/clouds/php-session/README.md',
  'examples/clouds/ruoyi/README.md',
  'examples/clouds/sa-token/README.md',
  'examples/clouds/spring-authorization-server/README.md',
  'examples/clouds/spring-session/README.md',
];

const readDocument = (path: string) =>
  existsSync(new URL(`../${path}`, import.meta.url)) ? readFile(path) : undefined;

describe.each(TRANSLATED)('%s and its translation', (path) => {
  test('have the same headings, code, first columns, figures and code of tables, and links', () => {
    const problems = parityProblems(path, readDocument);
    expect(problems).toEqual([]);
  });
});

test('every document in docs/zh is compared', () => {
  const inChinese = readdirSync(new URL('../docs/zh/', import.meta.url)).map((name) => `docs/zh/${name}`);
  expect(TRANSLATED.map(translationOf)).toEqual(expect.arrayContaining(inChinese));
});

describe('the comparison', () => {
  const ORIGINAL = [
    '# Title',
    '',
    '[简体中文](zh/page.md)',
    '',
    'See [settings](settings.md#process) and [the vendor](https://vendor.example).',
    '',
    '## Start `serve`',
    '',
    '```sh',
    '# a comment',
    'node dist/main.js # another',
    '```',
    '',
    '| variable | meaning |',
    '|---|---|',
    '| `HOST` | an address, or `::` |',
    '| `ADMIN_TOKEN` † | a secret |',
    '| [`PORT`](settings.md#vendor) | a port |',
    '| Redis is down | wait |',
    '',
    '```mermaid',
    'sequenceDiagram',
    '    participant Cloud as Your cloud',
    '    App->>Broker: ask',
    '    alt there is none',
    '```',
    '',
    '```mermaid',
    'gantt',
    '    title A token',
    '    axisFormat day %-j',
    '    Served : done, a, 2026-01-01, 21d',
    '```',
    '',
    '```mermaid',
    'flowchart TD',
    '    ask["The app asks"] --> redis{"Does Redis answer?"}',
    '    redis -- yes --> token["200"]',
    '```',
  ].join('\n');
  const TRANSLATION = [
    '# 标题',
    '',
    '[English](../page.md)',
    '',
    '见[厂商](https://vendor.example)和[设置](settings.md#进程)。',
    '',
    '## 启动 `serve`',
    '',
    '```sh',
    '# 注释',
    'node dist/main.js # 另一个',
    '```',
    '',
    '| 变量 | 说明 |',
    '|---|---|',
    '| `HOST` | 地址，或 `::` |',
    '| `ADMIN_TOKEN` † | 密钥 |',
    '| [`PORT`](settings.md#厂商) | 端口 |',
    '| Redis 宕机 | 等待 |',
    '',
    '```mermaid',
    'sequenceDiagram',
    '    participant Cloud as 你的云',
    '    App->>Broker: 询问',
    '    alt 没有',
    '```',
    '',
    '```mermaid',
    'gantt',
    '    title 令牌',
    '    axisFormat 第 %-j 天',
    '    使用 : done, a, 2026-01-01, 21d',
    '```',
    '',
    '```mermaid',
    'flowchart TD',
    '    ask["App 请求"] --> redis{"Redis 有应答吗？"}',
    '    redis -- 是 --> token["200"]',
    '```',
  ].join('\n');
  const others: Record<string, string> = {
    'docs/settings.md': '# Settings\n\n## Process\n\n## Vendor',
    'docs/zh/settings.md': '# 设置\n\n## 进程\n\n## 厂商',
  };
  const problemsWith = (original: string, translation: string | undefined) =>
    parityProblems('docs/page.md', (path) => {
      if (path === 'docs/page.md') return original;
      return path === 'docs/zh/page.md' ? translation : others[path];
    });

  test('accepts a translation that says the same', () => expect(problemsWith(ORIGINAL, TRANSLATION)).toEqual([]));

  test('accepts a link to a document without a translation', () => {
    const original = ORIGINAL.replace('settings.md#process', 'adr/README.md');
    expect(problemsWith(original, TRANSLATION.replace('settings.md#进程', '../adr/README.md'))).toEqual([]);
  });

  test('accepts only the picture of its own language', () => {
    const picture = (path: string) => `\n\n![](${path})`;
    const original = ORIGINAL + picture('images/page-en.png');
    expect(problemsWith(original, TRANSLATION + picture('../images/page-zh.png'))).toEqual([]);
    expect(problemsWith(original, TRANSLATION + picture('../images/page-en.png')).join('\n')).toContain('page-en.png');
  });

  test('accepts bold text that Markdown recognizes between Chinese letters', () => {
    const bold = '文字**粗体**文字，**`code`**：文字。\n\n- **`jwt` 模式**：文字\n\n```sh\na**。**b\n```';
    const original = `${ORIGINAL}\n\n\`\`\`sh\na**。**b\n\`\`\``;
    expect(problemsWith(original, `${TRANSLATION}\n\n${bold}`)).toEqual([]);
  });

  test.each(['**句号。**文字', '**重启 `serve`**文字', '文字**“引号**', '文字**[见](../page.md)**'])(
    'finds that Markdown does not show %s as bold',
    (bold) => {
      expect(problemsWith(ORIGINAL, `${TRANSLATION}\n\n${bold}`).join('\n')).toContain('as bold here');
    },
  );

  test.each<[what: string, change: (text: string) => string, problem: string]>([
    [
      'a heading is missing',
      (text) => text.replace('## 启动 `serve`\n', ''),
      '2 headings, the translation has 1. The first difference: heading 2',
    ],
    ['a heading has another level', (text) => text.replace('## 启动', '### 启动'), 'heading 2 is "## Start'],
    [
      'a heading names another command',
      (text) => text.replace('启动 `serve`', '启动 `check`'),
      'heading 2 is "## Start',
    ],
    ['a heading is added', (text) => `${text}\n\n## 更多`, 'heading 3 is no heading'],
    ['a code block is missing', (text) => text.replace(/```sh[\s\S]*?```/, ''), '4 code blocks, the translation has 3'],
    ['a byte of code differs', (text) => text.replace('dist/main.js', 'dist/main'), 'code block 1 (sh) differs'],
    ['a line of code is missing', (text) => text.replace(/node dist.*\n/, ''), 'code block 1 (sh) differs'],
    [
      'a statement of a diagram is missing',
      (text) => text.replace(/ {4}App.*\n/, ''),
      'code block 2 (mermaid) differs',
    ],
    [
      'a message of a diagram has another receiver',
      (text) => text.replace('App->>Broker', 'App->>Cloud'),
      'code block 2',
    ],
    ['a period of a time line differs', (text) => text.replace('21d', '27d'), 'code block 3 (mermaid) differs'],
    ['an axis has other units', (text) => text.replace('%-j', '%-d'), 'code block 3 (mermaid) differs'],
    ['an arrow leads elsewhere', (text) => text.replace('--> token', '--> error'), 'code block 4 (mermaid) differs'],
    ['a setting is missing', (text) => text.replace(/\| `HOST`.*\n/, ''), 'no row `HOST`'],
    ['a setting is added', (text) => text.replace('| `HOST`', '| `NAME` | 名称 |\n| `HOST`'), 'no row `NAME`'],
    ['a secret is not marked', (text) => text.replace(' †', ''), 'no row `ADMIN_TOKEN` †'],
    ['two settings have changed places', (text) => text.replace(/(\| `H.*\n)(\| `A.*\n)/, '$2$1'), 'row 1 of table 1'],
    ['a setting with a link is missing', (text) => text.replace(/\| \[`P.*\n/, ''), 'no row [`PORT`]'],
    ['a row of words is missing', (text) => text.replace(/\| Redis.*\n/, ''), 'table 1 has 4 rows, not 3'],
    [
      'a value in a table is missing',
      (text) => text.replace(' `::`', ''),
      'row `HOST` of table 1: only one language has `::`',
    ],
    ['a value in a table is added', (text) => text.replace('端口 |', '端口 `0` |'), 'only one language has `0`'],
    ['a table is missing', (text) => text.replaceAll(/^\|.*\n/gm, ''), '1 tables, the translation has 0'],
    ['a link is missing', (text) => text.replace(/\[厂商\]\([^)]*\)/, '厂商'), 'no link to https://vendor.example'],
    [
      'a link leads to another heading',
      (text) => text.replace('#进程', '#厂商'),
      'no link to docs/settings.md, heading 2',
    ],
    [
      'a link leads to another document',
      (text) => text.replace('settings.md', '../page.md'),
      'no link to docs/settings',
    ],
    [
      'a link leads to the original of a translated document',
      (text) => text.replace('settings.md#进程', '../settings.md#process'),
      'to docs/settings.md leads to the original',
    ],
    [
      'no line leads to the English document',
      (text) => text.replace(/\[English\].*\n\n/, ''),
      'line 3 of docs/zh/page.md',
    ],
    ['that line stands elsewhere', (text) => text.replace(/(\[English\].*\n\n)(.*\n)/, '$2\n$1'), 'line 3 of docs/zh'],
  ])('finds the problem if %s', (_, change, problem) => {
    expect(problemsWith(ORIGINAL, change(TRANSLATION)).join('\n')).toContain(problem);
  });

  test('finds a figure that differs in a table', () => {
    const table = (growth: string) => `\n\n| \`HOST\` | ${growth} |`;
    const original = ORIGINAL + table('0.2 %');
    expect(problemsWith(original, TRANSLATION + table('0.2%'))).toEqual([]);
    expect(problemsWith(original, TRANSLATION + table('0.3%')).join('\n')).toContain('the figures 0.2% are 0.3%');
  });

  test('finds that no line leads to the translation', () => {
    expect(problemsWith(ORIGINAL.replace('](zh/page.md)', '](zh/other.md)'), TRANSLATION)).toEqual([
      'line 3 of docs/page.md is not: [简体中文](zh/page.md)',
    ]);
  });

  test('finds that there is no translation', () => {
    expect(problemsWith(ORIGINAL, undefined)).toEqual(['docs/zh/page.md does not exist']);
  });
});
