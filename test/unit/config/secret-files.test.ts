import { execFileSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SecretFiles } from '../../../src/config/secret-files.ts';
import { kubernetesVolume } from '../../support/secret-files.ts';

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('a change behind the symbolic link of a Kubernetes volume counts once, when it is found for the second time', async () => {
  const volume = kubernetesVolume(newFolder(), { ADMIN_TOKENS: 'one' });
  const files = new SecretFiles({ ADMIN_TOKENS_FILE: volume.path('ADMIN_TOKENS') });
  await files.noteRead();
  expect(await files.hasChanged()).toBe(false);
  volume.replace({ ADMIN_TOKENS: 'two' });
  expect([await files.hasChanged(), await files.hasChanged(), await files.hasChanged()]).toEqual([false, true, false]);
  // The same content in a new folder is no change.
  volume.replace({ ADMIN_TOKENS: 'two' });
  expect([await files.hasChanged(), await files.hasChanged()]).toEqual([false, false]);
});

test('files that go on changing do not count until they stop', async () => {
  const file = join(newFolder(), 'REDIS_URL');
  writeFileSync(file, 'redis://a');
  const files = new SecretFiles({ REDIS_URL_FILE: file });
  await files.noteRead();
  for (const half of ['redis://', 'redis://b', 'redis://bc']) {
    writeFileSync(file, half);
    expect(await files.hasChanged()).toBe(false);
  }
  expect(await files.hasChanged()).toBe(true);
});

test('a missing file is a change, and so is its return', async () => {
  const file = join(newFolder(), 'REDIS_URL');
  writeFileSync(file, 'redis://a');
  const files = new SecretFiles({ REDIS_URL_FILE: file });
  await files.noteRead();
  renameSync(file, `${file}.away`);
  expect([await files.hasChanged(), await files.hasChanged()]).toEqual([false, true]);
  renameSync(`${file}.away`, file);
  expect([await files.hasChanged(), await files.hasChanged()]).toEqual([false, true]);
});

test('what SIGHUP has read is no change', async () => {
  const file = join(newFolder(), 'REDIS_URL');
  writeFileSync(file, 'redis://a');
  const files = new SecretFiles({ REDIS_URL_FILE: file });
  await files.noteRead();
  writeFileSync(file, 'redis://b');
  await files.noteRead();
  expect([await files.hasChanged(), await files.hasChanged()]).toEqual([false, false]);
});

test('a pipe, which can be read only once, and a setting that is no secret are left alone', async () => {
  const pipe = join(newFolder(), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const files = new SecretFiles({ REDIS_URL_FILE: pipe, VENDOR_BASE_URL_FILE: '/no/such/file' });
  await files.noteRead();
  expect([await files.hasChanged(), await files.hasChanged()]).toEqual([false, false]);
});
