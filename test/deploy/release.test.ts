import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import {
  assertFollows,
  filesWithVersions,
  presentVersion,
  sectionOf,
  withRelease,
  withVersion,
} from '../../scripts/release/version.ts';
import { composeServices } from '../support/compose.ts';
import { readFile } from '../support/documents.ts';
import { newFolder } from '../support/new-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PRESENT = presentVersion(ROOT);
const NEXT = '97.98.99';

/** Sentences about the past, which keep their version, and versions of other things. */
const STAYS: readonly RegExp[] = [
  /0\.1\.0.*(?:first release|第一个版本|from it on|起)|(?:Before|before|From|自|从) 0\.1\.0/,
  /placeholder: 0\.1\.0/,
];

describe('the version', () => {
  test('has changed in every line of the project that names it', () => {
    const left = filesWithVersions(ROOT)
      .filter((path) => !/^test\/|^docs\/adr\/|package-lock\.json$|\.test\.\w+$/.test(path))
      .flatMap((path) => {
        const names = new RegExp(`(?<![\\w.])v?${PRESENT.replaceAll('.', '\\.')}(?![\\w-]|\\.\\d)`);
        const lines = withVersion(readFile(path), PRESENT, NEXT).split('\n');
        const left = lines.filter((line) => names.test(line) && !STAYS.some((one) => one.test(line)));
        return left.map((line) => `${path}: ${line.trim()}`);
      });
    expect(left).toEqual([]);
  });

  test.each([
    ['<artifactId>json</artifactId>\n<version>1.2.3</version>'],
    ['registry.example/sdk-token-broker:1.2.30'],
    ['sdk-token-broker:1.2.3-rc.1'],
    ['"node_modules/a": {\n "version": "1.2.3"'],
  ])('stays in %s', (text) => {
    expect(withVersion(text, '1.2.3', '1.3.0')).toBe(text);
  });

  test('never goes down', () => {
    expect(() => assertFollows('0.10.0', '0.9.9')).not.toThrow();
    expect(() => assertFollows('0.9.9', '0.9.9')).not.toThrow();
    expect(() => assertFollows('0.9.9', '0.10.0')).toThrow('0.9.9 is below the present version, 0.10.0');
    for (const wrong of ['', '1', 'v1.2.3', '1.2.3-rc.1'])
      expect(() => assertFollows(wrong, '0.1.0')).toThrow('not a version');
  });
});

test('the repository has one address in all files', () => {
  const ADDRESS = /(?:github\.com|ghcr\.io)\/([\w.-]+)\/(?:charts\/)?sdk-token-broker\b/g;
  const lines = execFileSync('git', ['grep', '-hIE', '(github\\.com|ghcr\\.io)/', '--', ':!test'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const owners = [...lines.matchAll(ADDRESS)].map(([, owner]) => owner);
  expect(owners.length).toBeGreaterThan(10);
  expect(new Set(owners).size).toBe(1);
});

describe('the changelog', () => {
  const CHANGELOG =
    '# Changelog\n\nText.\n\n## Unreleased\n\n### For apps\n\n- New.\n\n## 0.1.0 (2026-01-01)\n\nThe first.\n';

  test('gets a section with the version and the day, which becomes the text of the release', () => {
    const released = withRelease(CHANGELOG, '0.2.0', '2026-02-03');
    expect(released).toBe(CHANGELOG.replace('Unreleased', '0.2.0 (2026-02-03)'));
    expect(sectionOf(released, '0.2.0')).toBe('### For apps\n\n- New.\n');
    expect(sectionOf(released, '0.1.0')).toBe('The first.\n');
    expect(() => sectionOf(released, '0.3.0')).toThrow('no section "0.3.0"');
  });

  test('stops a release if its section is empty', () => {
    const empty = CHANGELOG.replace('### For apps\n\n- New.\n\n', '');
    expect(() => withRelease(empty, '0.2.0', '2026-02-03')).toThrow('nothing to release');
  });
});

describe('npm run release, in a clone', () => {
  const DRY_RUN = '--dry-run --to made --without jars --without site'.split(' ');
  let clone: string;
  const git = (...args: string[]) => execFileSync('git', args, { cwd: clone, encoding: 'utf8' }).trim();
  const release = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'scripts/release.ts', ...args], { cwd: clone, encoding: 'utf8' });

  const setOwner = (owner: string) => {
    const path = join(clone, 'SdkTokenBroker.podspec');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/(github\.com\/)[\w-]+/g, `$1${owner}`));
    git('commit', '--quiet', '--all', '--message', 'Name the account');
  };

  beforeAll(() => {
    const folder = newFolder();
    clone = join(folder, 'clone');
    // The files as they are here, also those that are not committed.
    execFileSync('git', ['clone', '--quiet', '--shared', ROOT, clone]);
    git('config', 'user.name', 'A tester');
    git('config', 'user.email', 'tester@example.com');
    const patch = execFileSync('git', ['diff', '--binary', 'HEAD'], { cwd: ROOT, maxBuffer: 2 ** 28 });
    if (patch.length > 0) {
      execFileSync('git', ['apply', '--index'], { cwd: clone, input: patch });
      git('commit', '--quiet', '--message', 'What is not committed yet');
    }
    setOwner('an-account');
    // On the tag of a release, there is none.
    const changelog = join(clone, 'CHANGELOG.md');
    const text = readFileSync(changelog, 'utf8');
    if (!text.includes('\n## Unreleased\n'))
      writeFileSync(changelog, text.replace('\n## ', '\n## Unreleased\n\n### For apps\n\n- New.\n\n## '));
    git('commit', '--quiet', '--all', '--allow-empty', '--message', 'Begin a new section');
    symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    writeFileSync(join(clone, '.git/info/exclude'), 'node_modules\n');
  });

  test('--dry-run makes what needs no internet, and leaves no trace in the repository', () => {
    const state = () => [git('status', '--porcelain', '--', ':!made'), git('show-ref'), git('worktree', 'list')];
    const before = state();
    const { status, stdout, stderr } = release(NEXT, ...DRY_RUN);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`the program of the image says ${NEXT}`);
    expect(state()).toEqual(before);
    const made = (path: string) => readFileSync(join(clone, 'made', path), 'utf8');
    expect(existsSync(join(clone, 'made', `sdk-token-broker-${NEXT}.tgz`))).toBe(true);
    for (const name of ['openapi.json', 'internal.json'])
      expect(JSON.parse(made(`files/${name}`)).info.version).toBe(NEXT);
    expect(JSON.parse(made('files/sbom.cdx.json')).metadata.component.version).toBe(NEXT);
    expect(parse(made('files/rules.yml')).groups[0].rules.length).toBeGreaterThan(1);
    const objectsIn = (name: string) => parseAllDocuments(made(`files/${name}`)).map((one) => one.toJS());
    const [production, operator, tryOut] = ['', '-prometheus-operator', '-try-out'].map((name) =>
      objectsIn(`sdk-token-broker${name}.yaml`),
    );
    expect(production?.filter(({ apiVersion }) => apiVersion.startsWith('monitoring.'))).toEqual([]);
    expect(operator?.map(({ kind }) => kind).toSorted()).toEqual(['PrometheusRule', 'ServiceMonitor']);
    expect(tryOut?.map(({ metadata }) => metadata.name)).toContain('try-out');
    for (const objects of [production, tryOut]) {
      const broker = objects?.find(
        ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'sdk-token-broker',
      );
      expect(broker.spec.template.spec.containers[0].image).toBe(`ghcr.io/an-account/sdk-token-broker:${NEXT}`);
    }
    const runs = tryOut?.flatMap(({ spec }) => spec?.template?.spec?.containers ?? []).map(({ image }) => image);
    const services = Object.values(composeServices(ROOT, ['--profile', 'monitoring']));
    const others = [...(runs ?? []), ...services.map(({ image }) => image)]
      .filter((image = '') => !image.includes('sdk-token-broker'))
      .map((image = '') => `image docker.io/${image.includes('/') ? '' : 'library/'}${image.replace(':', ' ')}`);
    const list = made('files/mirror.txt').trimEnd().split('\n');
    expect(list.filter((line) => /^image/.test(line)).toSorted()).toEqual([...new Set(others)].toSorted());
    expect(list.filter((line) => /^[^i#]/.test(line))).toEqual([
      `signed ghcr.io/an-account/sdk-token-broker ${NEXT}`,
      `signed ghcr.io/an-account/charts/sdk-token-broker ${NEXT}`,
      'base docker.io/library/node 24-trixie-slim',
      ...['client-parent', 'client', 'client-okhttp', 'client-android', 'broker-spring-boot-starter'].map(
        (name) => `maven io.sdktokenbroker:sdk-token-${name} ${NEXT}`,
      ),
      `npm sdk-token-client ${NEXT}`,
      `git https://github.com/an-account/sdk-token-broker v${NEXT}`,
    ]);
    expect(made('NOTES.md')).toContain('### For apps');
    const sums = made('files/SHA256SUMS').trimEnd().split('\n');
    expect(sums).toHaveLength(10);
    for (const line of sums) {
      const [digest, name] = line.split('  ');
      const hash = createHash('sha256').update(readFileSync(join(clone, 'made/files', name ?? '')));
      expect(hash.digest('hex')).toBe(digest);
    }
    rmSync(join(clone, 'made'), { recursive: true });
  });

  test('commits and tags the version, pushes nothing, and its tag has everything for the workflow', () => {
    onTestFinished(() => void git('reset', '--quiet', '--hard', 'HEAD~1'));
    const remote = () => git('ls-remote', '.', 'refs/remotes/*');
    const before = remote();
    expect(release(NEXT)).toMatchObject({ status: 0, stderr: '' });
    expect(git('show', '--no-patch', '--format=%s', `v${NEXT}^{commit}`)).toBe(`Release ${NEXT}`);
    expect(git('cat-file', '-t', `v${NEXT}`)).toBe('tag');
    expect(git('status', '--porcelain')).toBe('');
    expect(remote()).toBe(before);
    // The workflow tests the tag. A test that names the version would be another one there.
    expect(git('show', '--format=', '--name-only', 'HEAD', '--', 'test')).toBe('');
    expect(JSON.parse(git('show', 'HEAD:package-lock.json'))).toMatchObject({
      version: NEXT,
      packages: { '': { version: NEXT } },
    });
    expect(git('show', 'HEAD:CHANGELOG.md')).toMatch(
      new RegExp(`^## ${NEXT.replaceAll('.', '\\.')} \\(\\d{4}-\\d\\d-\\d\\d\\)$`, 'm'),
    );
    // What the workflow runs.
    const { status, stdout } = release(NEXT, '--dry-run', '--to', 'made', '--without', 'jars', '--without', 'site');
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining(`the tag v${NEXT} has it`) });
    rmSync(join(clone, 'made'), { recursive: true });
    expect(release(NEXT)).toMatchObject({ status: 1, stderr: `The tag v${NEXT} exists\n` });
  });

  test('--help names every option', () => {
    const { status, stdout } = release('--help');
    expect(status).toBe(0);
    for (const option of ['--dry-run', '--to', '--without', '--baseline']) expect(stdout).toContain(option);
  });

  test('--baseline packs a build that starts without the repository', () => {
    onTestFinished(() => void git('checkout', '--quiet', '.'));
    expect(release('--baseline')).toMatchObject({ status: 0, stderr: '' });
    const archive = join(clone, 'test/upgrade/last-release.tgz');
    const alone = newFolder();
    execFileSync('tar', ['-xzf', archive, '-C', alone]);
    const { stderr } = spawnSync(process.execPath, [join(alone, 'dist/main.js'), 'serve'], {
      env: {},
      encoding: 'utf8',
    });
    expect(stderr).toContain('VENDOR_BASE_URL');
    expect(git('status', '--porcelain')).toBe('M test/upgrade/last-release.tgz');
  });

  test('--dry-run stops if its folder exists, and deletes nothing there', () => {
    for (const to of ['.', '..', 'docs']) {
      const { status, stderr } = release(NEXT, '--dry-run', '--to', to);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: `${resolve(clone, to)} exists. Remove it, or name a new folder with --to\n`,
      });
    }
    expect(git('status', '--porcelain')).toBe('');
  });

  test.each([
    ['the address of the repository has a placeholder', 'OWNER is not the account', () => setOwner('OWNER')],
    [
      'the changelog has no text for it',
      'nothing to release',
      () => {
        const path = join(clone, 'CHANGELOG.md');
        writeFileSync(path, readFileSync(path, 'utf8').replace('## Unreleased', `## ${PRESENT} (2026-01-01)`));
        git('commit', '--quiet', '--all', '--message', 'Nothing is new');
      },
    ],
    [
      'something is not committed',
      'There are changes that are not committed',
      () => writeFileSync(join(clone, 'README.md'), 'changed'),
    ],
  ])('stops if %s, and has changed nothing', (_, message, spoil) => {
    const before = git('rev-parse', 'HEAD');
    onTestFinished(() => void git('reset', '--quiet', '--hard', before));
    spoil();
    const state = () => [git('show-ref'), git('status', '--porcelain')];
    const spoiled = state();
    expect(release('98.0.0')).toMatchObject({ status: 1, stderr: expect.stringContaining(message) });
    expect(state()).toEqual(spoiled);
  });
});
