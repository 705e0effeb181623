import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { plainRequest } from '../support/plain-request.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ENV = {
  VENDOR_BASE_URL: 'http://127.0.0.1:9',
  SESSION_JWT_SECRET: 's'.repeat(32),
  SESSION_JWT_ISSUER: 'issuer',
  SESSION_JWT_AUDIENCE: 'us',
  VENDOR_APP_ID: 'app-1',
  VENDOR_APP_TOKEN: 'token-of-app-1',
  VENDOR_APP_KEY: 'key-of-app-1',
};

/** A folder with what the image has, and nothing above it. */
async function shipped(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sdk-token-broker-bundle-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const part of ['dist', 'package.json']) await cp(join(ROOT, part), join(folder, part), { recursive: true });
  return folder;
}

test('dist/ needs no packages beside it, not even for the documentation', async () => {
  const broker = await startBroker(ENV, { entry: join(await shipped(), 'dist/main.js') });
  onTestFinished(async () => void (await broker.stop()));
  const page = await plainRequest(`${broker.url}/docs`);
  expect(page.status).toBe(200);
  const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
  expect(parts.length).toBeGreaterThan(4);
  for (const part of parts) expect((await plainRequest(broker.url + part)).status, part).toBe(200);
  const document = JSON.parse(await readFile(join(ROOT, 'openapi/openapi.json'), 'utf8'));
  expect(JSON.parse((await plainRequest(`${broker.url}/openapi.json`)).body)).toEqual(document);
  expect(await broker.stop()).toEqual({ code: 0, signal: null });
});

test('dist/ holds the licence of every package whose code is in it', async () => {
  const files = (await readdir(join(ROOT, 'dist'), { recursive: true })).filter((file) => file.endsWith('.js'));
  const code = (await Promise.all(files.map((file) => readFile(join(ROOT, 'dist', file), 'utf8')))).join('\n');
  const paths = [...code.matchAll(/^\s*\/\/ (?:.+\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)];
  const packages = new Set(paths.map(([, name]) => name));
  expect(packages.size).toBeGreaterThan(50);
  const texts = await readFile(join(ROOT, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
  const licences = new Map(texts.split(`${'-'.repeat(80)}\n\n`).map((text) => [text.split(' ', 1)[0], text]));
  expect([...packages].filter((name) => !licences.has(name))).toEqual([]);
  // That one is published without a text; it says MIT.
  const short = [...packages].filter((name) => (licences.get(name)?.length ?? 0) < 500);
  expect(short).toEqual(['abstract-logging']);
});
