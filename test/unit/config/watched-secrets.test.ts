import { pbkdf2 } from 'node:crypto';
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { watchSecretFiles } from '../../../src/config/environment.ts';
import { eventually } from '../../support/eventually.ts';

test('changes of files with secrets count once, when all of them have stayed the same for 2 s', async () => {
  vi.useFakeTimers();
  const watchFile = vi.spyOn(fs, 'watchFile').mockReturnValue({} as fs.StatWatcher);
  syncBuiltinESMExports();
  onTestFinished(() => {
    vi.useRealTimers();
    watchFile.mockRestore();
    syncBuiltinESMExports();
  });
  const environment = { ADMIN_TOKENS_FILE: '/a', REDIS_URL_FILE: '/b', VENDOR_BASE_URL_FILE: '/no-secret' };
  const onChange = vi.fn();
  await watchSecretFiles(environment, onChange);
  const watched = watchFile.mock.calls as unknown as [string, { readonly interval: number }, () => void][];
  expect(watched.map(([path]) => path)).toEqual(['/a', '/b']);
  // A file that goes on changing is seen to differ at each look. A look may be a little late.
  for (const [, { interval }, change] of [...watched, ...watched]) {
    change();
    vi.advanceTimersByTime(interval + 500);
  }
  for (const [, , change] of watched) change();
  vi.advanceTimersByTime(1_999);
  expect(onChange).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(onChange).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(60_000);
  expect(onChange).toHaveBeenCalledTimes(1);
});

test('a change right after the secrets were read counts, however busy the threads of Node.js were', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'REDIS_URL');
  onTestFinished(() => fs.unwatchFile(file));
  writeFileSync(file, 'redis://a');
  // They look at files.
  for (let thread = 0; thread < 8; thread += 1) pbkdf2('a', 'b', 100_000, 64, 'sha512', () => undefined);
  const onChange = vi.fn();
  await watchSecretFiles({ REDIS_URL_FILE: file }, onChange);
  writeFileSync(file, 'redis://b');
  await eventually(() => expect(onChange).toHaveBeenCalledTimes(1), { timeoutMs: 8_000 });
}, 15_000);
