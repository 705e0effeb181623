import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { check } from '../../../src/commands/check.ts';
import { columnsOf, languageOf } from '../../../src/commands/checks/language.ts';
import { reasonText } from '../../../src/commands/checks/reasons.ts';
import { VARIABLES } from '../../../src/config/variables.ts';
import { isChinese } from '../../support/chinese.ts';
import { readFile } from '../../support/documents.ts';

const HAN = /\p{Script=Han}/u;

/**
 * The reasons in source code: `SETTING` stands for a name, and `1` for each other value. The one with the allowed
 * values has a text in a text, and a test of its own.
 */
function reasonsIn(source: string): string[] {
  const code = source
    .replaceAll(/^\s*(\/\/|\/?\*).*$/gm, '')
    .replaceAll(/' \+\s*'/g, '')
    .replaceAll(/'([^'\n]*)' \+\s*`/g, '`$1')
    .replaceAll(/` \+\s*'([^'\n]*)'/g, '$1`');
  return [...code.matchAll(/'((?:[^'\\\n]|\\.)+)'|`([^`]+)`/g)]
    .map(([, plain, template = '']) => plain ?? template)
    .filter((text) => !text.includes("? '' :"))
    .map((text) => text.replaceAll(/\$\{(name|all)\}/g, 'SETTING').replaceAll(/\$\{[^}]*\}/g, '1'))
    .filter((text) => REASON.test(text) && !/^(SETTING(_FILE|: 1)|The session server)$/.test(text));
}

const REASON =
  /^(SETTING[ _:].|[A-Z_]{5,} [a-z]|An? (bearer|session)|The (session|claim|signature|bearer|header|public key of|secret of)\b.* |There may|Send the|Another web|The answer|also one|Set SESSION|is missing|has a|must )/;

async function outputOf(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const lines: string[] = [];
  const context = { env, version: '0', out: (line: string) => lines.push(...line.split('\n')) };
  const code = await check(args, { ...context, err: () => undefined });
  return { code, lines };
}

describe('the language of check', () => {
  it.each([
    [{}, 'en'],
    [{ LANG: 'C.UTF-8' }, 'en'],
    [{ LANG: 'zh_CN.UTF-8' }, 'zh'],
    [{ LANG: 'zh' }, 'zh'],
    [{ LANG: 'en_US.UTF-8', LC_MESSAGES: 'zh_TW.UTF-8' }, 'zh'],
    [{ LANG: 'zh_CN.UTF-8', LC_ALL: 'C' }, 'en'],
    [{ LANG: 'zh_CN.UTF-8', LC_ALL: '' }, 'zh'],
  ])('with %j is %s', (env, language) => expect(languageOf(undefined, env)).toBe(language));

  it('is that of --lang before that of the terminal', () => {
    expect(languageOf('en', { LANG: 'zh_CN.UTF-8' })).toBe('en');
    expect(languageOf('zh', {})).toBe('zh');
    expect(() => languageOf('fr', {})).toThrow('--lang must be one of en, zh');
  });

  it.each([[['--lang', 'zh']], [['--lang=zh']], [[]]])('makes every line Chinese: check %j', async (args) => {
    const env = { LANG: args.length > 0 ? 'en_US.UTF-8' : 'zh_CN.UTF-8', TERMINALS_PER_ACCOUNT: 'many' };
    const { code, lines } = await outputOf(args, env);
    expect(code).toBe(1);
    expect(lines).toContainEqual(
      expect.stringMatching(/^FAIL {2}配置 +— TERMINALS_PER_ACCOUNT 应为：1 到 1000 的整数，而不是 "many"$/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^FAIL {2}配置 +— 必须设置 VENDOR_APP_KEY：厂商颁发的 appKey/));
    expect(lines).toContainEqual(expect.stringMatching(/^ {6}修正方法：/));
    expect(lines.at(-1)).toMatch(/^1 项正常，1 项警告，\d+ 项失败$/);
    expect(lines.filter((line) => line !== '' && !HAN.test(line))).toEqual([]);
    // The dashes of all results stand in one column.
    const columns = lines.filter((line) => line.includes(' — ')).map((line) => columnsOf(line.split(' — ')[0] ?? ''));
    expect(new Set(columns).size).toBe(1);
  });

  it('is that of the advice for a published value', async () => {
    const env = { NODE_ENV: 'production', VENDOR_APP_KEY: 'your-app-key', ADMIN_TOKEN: 'only-for-trying-it-out' };
    const { lines } = await outputOf(['--lang', 'zh'], env);
    expect(lines.join('\n')).toMatch(/VENDOR_APP_KEY 是公开的试用值：请换成厂商颁发的值$/m);
    expect(lines.join('\n')).toMatch(/ADMIN_TOKEN 是公开的试用值：请换成随机值$/m);
    expect(
      reasonText(
        'SECRET is a value that is published for trying things out: use the value that the OAuth server issued',
      ).zh,
    ).toBe('SECRET 是公开的试用值：请换成 OAuth 服务器颁发的值');
  });

  it('is that of the help', async () => {
    await expect(outputOf(['--help', '--lang', 'zh'])).rejects.toThrow('退出码 0');
    await expect(outputOf(['--help'])).rejects.toThrow('Exit code 0');
  });

  it('does not change which options the help names', async () => {
    const optionsIn = async (language: string) => {
      const help = await outputOf(['--help', '--lang', language]).catch((error: Error) => error.message);
      return [...String(help).matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option);
    };
    expect(await optionsIn('en')).toContain('--lang');
    expect(await optionsIn('zh')).toEqual(await optionsIn('en'));
  });
});

describe('the reasons of the configuration and the verifiers', () => {
  it.each(Object.entries(VARIABLES))('say in Chinese what %s may be', (_, { allowed }) => {
    const chinese = reasonText(allowed).zh;
    expect(isChinese(chinese), chinese).toBe(true);
  });

  /** The texts in the source, with `1` in place of their values. */
  const reasons = ['config', 'session', 'http/credentials.ts'].flatMap((path) => {
    const files = path.endsWith('.ts')
      ? [`src/${path}`]
      : readdirSync(`src/${path}`).map((file) => `src/${path}/${file}`);
    return files.flatMap((file) => reasonsIn(readFile(file)));
  });

  it('are found in the source', () => {
    expect(reasons.length).toBeGreaterThan(40);
    expect(reasons).toContain('The session is not a signed JWT');
    expect(reasons).toContain('SETTING needs the header cookie in SESSION_FORWARD_HEADERS');
  });

  it.each(reasons)('are in Chinese: %s', (reason) => {
    const chinese = reasonText(reason).zh;
    expect(isChinese(chinese), chinese).toBe(true);
  });
});
