import { execFile } from 'node:child_process';
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { startBroker } from '../support/broker-process.ts';
import { startFleet } from '../support/fleet.ts';
import { newFolder } from '../support/new-folder.ts';
import { plainRequest } from '../support/plain-request.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The path of main.js in a copy of dist/ without node_modules, like in the image. */
let entry: string;

beforeAll(async () => {
  const folder = newFolder();
  for (const part of ['dist', 'package.json']) await cp(join(ROOT, part), join(folder, part), { recursive: true });
  entry = join(folder, 'dist/main.js');
});

/** The folders of the packages that the source maps in dist/ name. */
async function bundledFolders(): Promise<string[]> {
  const names = (await readdir(join(ROOT, 'dist'), { recursive: true })).filter((file) => file.endsWith('.js.map'));
  const maps = await Promise.all(names.map((name) => readFile(join(ROOT, 'dist', name), 'utf8')));
  const files = maps.flatMap((map) => (JSON.parse(map) as { sources: string[] }).sources);
  const folders = files.flatMap((file) => /node_modules\/(?:.+\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(file) ?? []);
  const unique = [...new Set(folders)];
  expect(unique.length).toBeGreaterThan(50);
  return unique;
}

test('the service in dist/ needs no npm packages, neither for a token with Redis nor for its API documentation and its console', async () => {
  const fleet = await startFleet({ replicas: 0 });
  const broker = await startBroker(
    { ...fleet.env, API_DOCS: 'true', ADMIN_TOKEN: 'an-admin-token-of-32-characters-or-more' },
    { entry },
  );
  expect((await broker.getToken(await fleet.session('alice'), 'phone')).status).toBe(200);
  const page = await plainRequest(`${broker.url}/docs`);
  const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
  expect(parts.length).toBeGreaterThan(4);
  for (const part of parts) expect((await plainRequest(`${broker.url}/${part}`)).status, part).toBe(200);
  for (const path of ['console', 'console/console.js', 'console/console.css', 'console/icon.svg']) {
    expect((await plainRequest(`${broker.adminUrl}/${path}`)).status, path).toBe(200);
  }
  const document = JSON.parse(await readFile(join(ROOT, 'openapi/openapi.json'), 'utf8'));
  expect(JSON.parse((await plainRequest(`${broker.url}/openapi.json`)).body)).toEqual(document);
  expect(await broker.stop()).toEqual({ code: 0, signal: null });
});

test.each([['check', '--help'], ['rekey', '--help'], ['sign', '--help'], ['simulate-vendor', '--help'], ['openapi']])(
  'the command %s in dist/ needs no npm packages',
  async (...args) => {
    const { stdout } = await promisify(execFile)(process.execPath, [entry, ...args], { env: {} });
    expect(stdout).not.toBe('');
  },
);

test('dist/ contains the license of every package that it includes', async () => {
  const packages = new Set((await bundledFolders()).map((folder) => folder.replace(/^.*node_modules\//, '')));
  const texts = await readFile(join(ROOT, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
  expect(texts).toContain('static/: swagger-ui (Apache-2.0)');
  const licences = new Map(texts.split(`${'-'.repeat(80)}\n\n`).map((text) => [text.split(' ', 1)[0], text]));
  expect(licences.get('@opentelemetry/api')).toMatch(/Apache License\s+Version 2\.0/);
  const without = [...packages].filter((name) => !/copyright|licensor/i.test(licences.get(name) ?? ''));
  // This package declares MIT, but contains no license text.
  expect(without).toEqual(['abstract-logging']);
});

describe('dist/sbom.cdx.json', () => {
  interface Component {
    readonly 'bom-ref': string;
    readonly group?: string;
    readonly name: string;
    readonly version: string;
    readonly licenses: object[];
    readonly hashes?: { readonly alg: string; readonly content: string }[];
  }
  const bill = (async () =>
    JSON.parse(await readFile(join(ROOT, 'dist/sbom.cdx.json'), 'utf8')) as {
      bomFormat: string;
      specVersion: string;
      metadata: { component: Component };
      components: Component[];
      dependencies: { ref: string; dependsOn: string[] }[];
    })();
  const fullName = ({ group, name }: Component) => (group === undefined ? name : `${group}/${name}`);

  test('lists exactly the packages in the bundle, with the version and the digest of the lock file', async () => {
    const { packages } = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8'));
    const locked = (await bundledFolders()).map((folder) => {
      const { version, integrity } = packages[folder];
      const digest = Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex');
      return `${folder.replace(/^.*node_modules\//, '')} ${version} ${digest}`;
    });
    const { components } = await bill;
    const listed = components.map((of) => `${fullName(of)} ${of.version} ${of.hashes?.[0]?.content}`);
    // Some files of this package are copied. It is not installed, so the lock file does not have it.
    expect(listed.filter((line) => !locked.includes(line))).toEqual([expect.stringMatching(/^swagger-ui-dist 5\./)]);
    expect(locked.filter((line) => !listed.includes(line))).toEqual([]);
  });

  test('is CycloneDX 1.6: each component has a unique reference and a license, and each dependency exists', async () => {
    const { bomFormat, specVersion, metadata, components, dependencies } = await bill;
    expect([bomFormat, specVersion, fullName(metadata.component)]).toEqual(['CycloneDX', '1.6', 'sdk-token-broker']);
    const references = components.map((of) => of['bom-ref']);
    expect(new Set(references).size).toBe(components.length);
    for (const { licenses } of components) expect(JSON.stringify(licenses)).toMatch(/"(id|expression)":"[\w.() +-]+"/);
    const known = new Set([...references, metadata.component['bom-ref']]);
    for (const { ref, dependsOn } of dependencies)
      expect([ref, ...dependsOn].filter((name) => !known.has(name))).toEqual([]);
    const reached = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn));
    expect(references.filter((reference) => !reached.has(reference))).toEqual([]);
  });
});
