import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { expect, onTestFinished, test, vi } from 'vitest';
import { watchSecretFiles } from '../../../src/config/environment.ts';

test('changes of files with secrets count once, when all of them have stayed the same for 2 s', () => {
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
  watchSecretFiles(environment, onChange);
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
