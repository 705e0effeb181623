import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { digest } from '../../../src/commands/digest.ts';
import { subjectId } from '../../../src/token/subject.ts';

async function linesOf(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const lines: string[] = [];
  const out = (line: string) => void lines.push(line);
  await digest(args, { env, version: '1', out, err: out });
  return lines;
}

const SUBJECT = { app: 'default', unionId: 'alice', uniqueId: 'my-phone' };

describe('the digest command', () => {
  test('prints the digest of an account as the log has it: 128 bits of the SHA-256 of its unionId', async () => {
    const expected = createHash('sha256').update('alice').digest().subarray(0, 17).toString('base64url').slice(0, 22);
    expect(await linesOf(['--union-id', 'alice'])).toEqual([`account  ${expected}`]);
  });

  test('prints the digest of a terminal too, for the app default without a configuration', async () => {
    const [account, subject] = await linesOf(['--union-id', 'alice', '--unique-id', 'my-phone']);
    expect(subject).toBe(`subject  ${subjectId(SUBJECT)}  (app default)`);
    expect(subject).toContain(account?.split('  ')[1]);
  });

  test('prints a line for each configured app, or for the given one', async () => {
    const app = { appId: 'a', appToken: 'b', appKey: 'c' };
    const env = {
      VENDOR_BASE_URL: 'https://vendor.example',
      VENDOR_APPS: JSON.stringify({ ios: app, android: { ...app, appId: 'd' } }),
    };
    const args = ['--union-id', 'alice', '--unique-id', 'my-phone'];
    const ids = ['ios', 'android'].map((name) => subjectId({ ...SUBJECT, app: name }));
    expect((await linesOf(args, env)).slice(1)).toEqual([
      `subject  ${ids[0]}  (app ios)`,
      `subject  ${ids[1]}  (app android)`,
    ]);
    expect((await linesOf([...args, '--app', 'android'], env)).slice(1)).toEqual([`subject  ${ids[1]}  (app android)`]);
  });

  test('takes any unionId as the uniqueId too, as with TERMINAL_POLICY=single', async () => {
    const [, subject] = await linesOf(['--union-id', 'ü', '--unique-id', 'ü']);
    expect(subject).toContain(subjectId({ ...SUBJECT, unionId: 'ü', uniqueId: 'ü' }));
  });

  test.each([
    [[], '--union-id is required'],
    [['--union-id', 'alice', '--unique-id', 'ü'], '--unique-id must be'],
    [['--union-id', 'alice', '--unique-id', 'x', '--app', 'a b'], '--app must be'],
  ])('refuses %j', async (args, message) => {
    await expect(linesOf(args)).rejects.toThrow(message);
  });
});
