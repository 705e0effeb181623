import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { startFleet } from '../support/fleet.ts';
import { plainRequest } from '../support/plain-request.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Copies dist/ into a folder without node_modules, like in the image. Returns the path of main.js. */
async function copyBundle(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sdk-token-broker-bundle-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const part of ['dist', 'package.json']) await cp(join(ROOT, part), join(folder, part), { recursive: true });
  return join(folder, 'dist/main.js');
}

test('the service in dist/ needs no npm packages, neither for a token with Redis nor for its API documentation', async () => {
  const fleet = await startFleet({ replicas: 0 });
  onTestFinished(() => fleet.close());
  const broker = await startBroker(fleet.env, { entry: await copyBundle() });
  onTestFinished(async () => void (await broker.stop()));
  expect((await broker.getToken(await fleet.session('alice'), 'phone')).status).toBe(200);
  const page = await plainRequest(`${broker.url}/docs`);
  const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
  expect(parts.length).toBeGreaterThan(4);
  for (const part of parts) expect((await plainRequest(broker.url + part)).status, part).toBe(200);
  const document = JSON.parse(await readFile(join(ROOT, 'openapi/openapi.json'), 'utf8'));
  expect(JSON.parse((await plainRequest(`${broker.url}/openapi.json`)).body)).toEqual(document);
  expect(await broker.stop()).toEqual({ code: 0, signal: null });
});

test.each([['check', '--help'], ['rekey', '--help'], ['sign', '--help'], ['simulate-vendor', '--help'], ['openapi']])(
  'the command %s in dist/ needs no npm packages',
  async (...args) => {
    const { stdout } = await promisify(execFile)(process.execPath, [await copyBundle(), ...args], { env: {} });
    expect(stdout).not.toBe('');
  },
);

test('dist/ contains the license of every package that it includes', async () => {
  const files = (await readdir(join(ROOT, 'dist'), { recursive: true })).filter((file) => file.endsWith('.js'));
  const code = (await Promise.all(files.map((file) => readFile(join(ROOT, 'dist', file), 'utf8')))).join('\n');
  const paths = [...code.matchAll(/^\s*\/\/ (?:.+\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)];
  const packages = new Set(paths.map(([, name]) => name));
  expect(packages.size).toBeGreaterThan(50);
  const texts = await readFile(join(ROOT, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
  expect(texts).toContain('static/: swagger-ui (Apache-2.0)');
  const licences = new Map(texts.split(`${'-'.repeat(80)}\n\n`).map((text) => [text.split(' ', 1)[0], text]));
  expect(licences.get('@opentelemetry/api')).toMatch(/Apache License\s+Version 2\.0/);
  const without = [...packages].filter((name) => !/copyright|licensor/i.test(licences.get(name) ?? ''));
  // This package declares MIT, but contains no license text.
  expect(without).toEqual(['abstract-logging']);
});
