import { describe, expect, it } from 'vitest';
import { check } from '../../../src/commands/check.ts';
import { columnsOf, languageOf } from '../../../src/commands/command-line.ts';

const HAN = /\p{Script=Han}/u;

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
  ])('with %j is %s', (env, language) => expect(languageOf([], env)).toBe(language));

  it('is that of --lang before that of the terminal', () => {
    expect(languageOf(['--lang', 'en'], { LANG: 'zh_CN.UTF-8' })).toBe('en');
    expect(languageOf(['--lang', 'zh'], {})).toBe('zh');
    expect(() => languageOf(['--lang', 'fr'], {})).toThrow('--lang must be one of en, zh');
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
