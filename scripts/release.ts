import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import { type HelmTask, runHelm } from '../test/support/helm-engine.ts';
import { packBaseline } from './release/baseline.ts';
import { followDockerfile } from './release/image-recipe.ts';
import { mirrorList } from './release/mirror-list.ts';
import { assertFollows, presentVersion, sectionOf, setVersion } from './release/version.ts';

const HELP = `npm run release -- 1.2.0
  Gives all files the version and the changelog its section, commits, and tags. It pushes nothing.

npm run release -- 1.2.0 --dry-run [--to FOLDER] [--without jars] [--without site]
  Changes nothing here. In a worktree of the last commit, it does the same, makes everything of the release that needs no
  internet, and leaves it in the new folder release/, or FOLDER. On a tag, it takes the version that is there. --without
  leaves a slow part out.

npm run release -- --baseline [COMMIT]
  Packs the last commit, or COMMIT, as the release that test/upgrade upgrades from. It needs the tar of GNU.
`;
const HERE = join(import.meta.dirname, '..');
const CHART = 'deploy/helm/sdk-token-broker';
const BASELINE = 'test/upgrade/last-release.tgz';
const print = (line: string) => void process.stdout.write(`${line}\n`);
const git = (folder: string, ...args: string[]) => execFileSync('git', args, { cwd: folder, encoding: 'utf8' }).trim();

try {
  const { positionals, values: options } = parseArgs({
    allowPositionals: true,
    options: {
      'dry-run': { type: 'boolean', default: false },
      to: { type: 'string', default: 'release' },
      without: { type: 'string', multiple: true, default: [] },
      baseline: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [version = ''] = positionals;
  if (options.help) {
    process.stdout.write(HELP);
  } else if (options.baseline) {
    await replaceBaseline(version || 'HEAD');
  } else {
    assertFollows(version, presentVersion(HERE));
    if (options['dry-run']) await dryRun(version, resolve(options.to), new Set(options.without));
    else release(version);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

function release(version: string): void {
  if (git(HERE, 'status', '--porcelain') !== '') throw new Error('There are changes that are not committed');
  if (git(HERE, 'tag', '--list', `v${version}`) !== '') throw new Error(`The tag v${version} exists`);
  if (ownerIn(HERE) === 'OWNER') throw new Error('OWNER is not the account on GitHub yet: CONTRIBUTING.md, "Release"');
  const files = setVersion(HERE, version, today());
  git(HERE, 'commit', '--quiet', '--message', `Release ${version}`, '--', ...files);
  git(HERE, 'tag', '--annotate', '--message', `Version ${version}`, `v${version}`);
  print(`Committed and tagged v${version}. To publish it: git push origin HEAD v${version}`);
}

async function replaceBaseline(commit: string): Promise<void> {
  await inWorktree(commit, async (tree) => {
    copyFileSync(await packBaseline(tree, join(HERE, 'node_modules')), join(HERE, BASELINE));
    print(`${BASELINE} is of ${git(tree, 'log', '-1', '--format=%h (%s)')}`);
  });
}

async function inWorktree(
  commit: string,
  use: (tree: string, temporary: string) => void | Promise<void>,
): Promise<void> {
  const temporary = mkdtempSync(join(tmpdir(), 'release-'));
  const tree = join(temporary, 'tree');
  git(HERE, 'worktree', 'add', '--quiet', '--detach', tree, commit);
  try {
    await use(tree, temporary);
  } finally {
    git(HERE, 'worktree', 'remove', '--force', tree);
    rmSync(temporary, { recursive: true, force: true });
  }
}

async function dryRun(version: string, to: string, without: ReadonlySet<string>): Promise<void> {
  // It might hold anything, so nothing there is deleted or mixed with something older.
  if (existsSync(to)) throw new Error(`${to} exists. Remove it, or name a new folder with --to`);
  const files = join(to, 'files');
  if (git(HERE, 'status', '--porcelain') !== '') print('Changes that are not committed are not part of this run.');
  await inWorktree('HEAD', (tree, temporary) => {
    mkdirSync(files, { recursive: true });
    symlinkSync(join(HERE, 'node_modules'), join(tree, 'node_modules'));
    step('version', () => prepare(tree, version, to));
    step('image recipe', () => {
      const image = followDockerfile(tree, join(HERE, 'node_modules'), join(temporary, 'image'));
      if (image.version !== version) throw new Error(`The program of the image says that it is ${image.version}`);
      copyFileSync(join(image.app, 'dist/sbom.cdx.json'), join(files, 'sbom.cdx.json'));
      return `the program of the image says ${image.version}`;
    });
    step('files', () => {
      for (const path of [
        'openapi/openapi.json',
        'openapi/internal.json',
        `${CHART}/files/rules.yml`,
        'deploy/grafana/dashboard.json',
      ])
        copyFileSync(join(tree, path), join(files, basename(path)));
      return readdirSync(files).join(', ');
    });
    const owner = ownerIn(tree);
    step('chart', () => makeChart(tree, owner, temporary, to));
    step('packages', () => {
      run(join(tree, 'clients/javascript'), 'npm', 'pack', '--silent', '--pack-destination', files);
      writeFileSync(join(files, 'mirror.txt'), mirrorList(tree, owner, version));
      return readdirSync(files)
        .filter((name) => /^mirror|tgz$/.test(name))
        .join(', ');
    });
    if (!without.has('jars')) step('jars', () => publishJars(tree, join(to, 'maven')));
    if (!without.has('site')) step('site', () => buildSite(tree, join(to, 'site')));
    writeFileSync(join(files, 'SHA256SUMS'), checksums(files));
  });
  print(`Version ${version} is in ${to}. This repository is as it was.`);
}

function step(name: string, run: () => string): void {
  const startedAt = Date.now();
  const result = run();
  print(`${name.padEnd(12)} ${((Date.now() - startedAt) / 1000).toFixed(1).padStart(5)} s  ${result}`);
}

/** On a tag, all versions must be there already. Otherwise, this sets them. */
function prepare(tree: string, version: string, to: string): string {
  const isTagged = git(tree, 'tag', '--points-at', 'HEAD').split('\n').includes(`v${version}`);
  if (isTagged && presentVersion(tree) !== version)
    throw new Error(`The tag v${version} is on version ${presentVersion(tree)}`);
  const changed = isTagged ? [] : setVersion(tree, version, today());
  run(tree, process.execPath, '--import', 'tsx', 'scripts/openapi.ts', '--check');
  const section = sectionOf(readFileSync(join(tree, 'CHANGELOG.md'), 'utf8'), version);
  // The notes are read outside the repository.
  const repository = process.env['DOCS_REPOSITORY_URL'];
  writeFileSync(
    join(to, 'NOTES.md'),
    repository ? section.replaceAll(/\]\((?!https?:)/g, `](${repository}/`) : section,
  );
  return isTagged ? `the tag v${version} has it` : `set in ${changed.length} files: ${changed.join(', ')}`;
}

/** The chart, and what it prints, for those who do not use Helm. */
function makeChart(tree: string, owner: string, temporary: string, to: string): string {
  const image = { repository: `ghcr.io/${owner.toLowerCase()}/sdk-token-broker` };
  const template = (name: string, more: object): HelmTask => {
    const values = join(temporary, `values-${name}.yaml`);
    const example = parse(readFileSync(join(tree, CHART, `values-${name}.yaml`), 'utf8'));
    writeFileSync(values, stringify({ ...example, image, ...more }));
    return ['template', join(tree, CHART), 'sdk-token-broker', 'sdk-token-broker', values];
  };
  const results = runHelm([
    ['package', join(tree, CHART), to],
    template('production', { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } }),
    template('try-out', {}),
  ]);
  const failed = results.find(({ succeeded }) => !succeeded);
  if (failed) throw new Error(`Helm cannot use the chart: ${failed.text}`);
  const [, production = [], tryOut = []] = results.map(({ text }) => text.split(/^(?=---\n)/m));
  const isForOperator = (manifest: string) => manifest.includes('\napiVersion: monitoring.coreos.com/');
  const contents = {
    'sdk-token-broker.yaml': production.filter((manifest) => !isForOperator(manifest)),
    'sdk-token-broker-prometheus-operator.yaml': production.filter(isForOperator),
    'sdk-token-broker-try-out.yaml': tryOut,
  };
  for (const [name, manifests] of Object.entries(contents)) writeFileSync(join(to, 'files', name), manifests.join(''));
  const archives = readdirSync(to).filter((name) => name.endsWith('.tgz'));
  return [...archives, ...Object.keys(contents)].join(', ');
}

/** As Maven Central gets them, but signed with a key that is gone afterwards. */
function publishJars(tree: string, repository: string): string {
  run(tree, 'scripts/test-publication.sh', repository);
  const files = readdirSync(repository, { recursive: true, encoding: 'utf8' });
  return files
    .filter((name) => name.endsWith('.jar'))
    .map((name) => basename(name))
    .join(', ');
}

function buildSite(tree: string, to: string): string {
  const packages = join(HERE, 'docs/site/node_modules');
  if (existsSync(packages)) symlinkSync(packages, join(tree, 'docs/site/node_modules'));
  run(tree, process.execPath, '--import', 'tsx', 'scripts/docs.ts');
  cpSync(join(tree, 'docs/site/dist/html'), to, { recursive: true });
  return `${readdirSync(to, { recursive: true }).length} files`;
}

function checksums(folder: string): string {
  const lines = readdirSync(folder).map((name) => {
    const digest = createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
    return `${digest}  ${name}\n`;
  });
  return lines.join('');
}

/** The account on GitHub. */
function ownerIn(tree: string): string {
  const [, owner = ''] =
    /github\.com\/([\w-]+)\//.exec(readFileSync(join(tree, 'SdkTokenBroker.podspec'), 'utf8')) ?? [];
  return owner;
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}

function run(cwd: string, program: string, ...args: string[]): void {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (error) throw error;
  if (status !== 0) throw new Error(`This command failed: ${[program, ...args].join(' ')}\n${stdout}${stderr}`);
}
