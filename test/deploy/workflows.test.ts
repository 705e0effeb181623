import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readFile } from '../support/documents.ts';

type Permissions = Readonly<Record<string, string>>;

interface Job {
  readonly permissions?: Permissions;
  readonly needs?: string | readonly string[];
  readonly uses?: string;
  readonly steps?: readonly {
    readonly uses?: string;
    readonly run?: string;
    readonly with?: Record<string, unknown>;
  }[];
}

const FOLDER = '.github/workflows/';
const PATHS = readdirSync(new URL(`../../${FOLDER}`, import.meta.url)).map((name) => FOLDER + name);
const jobsOf = (path: string): Readonly<Record<string, Job>> => parse(readFile(path)).jobs;
const commandsOf = ({ steps = [] }: Job) => steps.flatMap(({ run = '' }) => run.split('\n'));
const release = jobsOf(`${FOLDER}release.yml`);

describe.each(PATHS)('%s', (path) => {
  test('pins each action by its commit, and names its version', () => {
    const lines = readFile(path).match(/^\s*(?:- )?uses: .*$/gm) ?? [];
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) expect(line).toMatch(/uses: (?:\.\/\S+|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/);
  });

  test('gives a job no more than reading unless the job asks for it, and leaves no credentials in the checkout', () => {
    const { permissions } = parse(readFile(path)) as { permissions: Permissions };
    expect([{}, { contents: 'read' }]).toContainEqual(permissions);
    const steps = Object.values(jobsOf(path)).flatMap((job) => job.steps ?? []);
    for (const { uses, with: inputs } of steps)
      if (uses?.startsWith('actions/checkout@')) expect(inputs).toMatchObject({ 'persist-credentials': false });
  });

  test('installs packages without their scripts, and checks their signatures before anything of them runs', () => {
    for (const job of Object.values(jobsOf(path))) {
      const commands = commandsOf(job).filter((line) => /\b(npm|npx|node)\b|\.ci\/run/.test(line));
      if (commands.length === 0) continue;
      expect(commands.slice(0, 2)).toEqual([
        'npm ci --ignore-scripts && npm audit signatures',
        'npm ci --ignore-scripts --prefix docs/site && npm audit signatures --prefix docs/site',
      ]);
    }
  });
});

test.each(['.ci/run', '.devcontainer/devcontainer.json', 'Dockerfile', 'docs/site/build.ts', 'tools/mutation/run.mjs'])(
  '%s installs packages without their scripts',
  (path) => {
    const installs = readFile(path).match(/npm ci.*|'ci',.*/g) ?? [];
    expect(installs.length).toBeGreaterThan(0);
    for (const install of installs) expect(install).toContain('--ignore-scripts');
  },
);

test('each job of a release may do what it needs, and nothing else', () => {
  expect(Object.fromEntries(Object.entries(release).map(([name, { permissions }]) => [name, permissions]))).toEqual({
    verify: { contents: 'read' },
    files: { contents: 'read' },
    image: { contents: 'read', packages: 'write', 'id-token': 'write' },
    chart: { contents: 'read', packages: 'write', 'id-token': 'write' },
    maven: { contents: 'read' },
    github: { contents: 'write' },
  });
});

test('a job of a release that may write runs no code of a package', () => {
  const writing = Object.values(release).filter(({ permissions = {} }) => Object.values(permissions).includes('write'));
  expect(writing).toHaveLength(3);
  for (const job of writing) expect(commandsOf(job).filter((line) => /\b(npm|npx|node|mvn)\b/.test(line))).toEqual([]);
});

test('nothing of a release is published before everything was verified, and its page on GitHub comes last', () => {
  const before = (name: string): string[] => {
    const needs = [release[name]?.needs ?? []].flat();
    return [...new Set([...needs, ...needs.flatMap(before)])].toSorted();
  };
  expect(release['verify']?.uses).toBe('./.github/workflows/ci.yml');
  expect(before('files')).toEqual(['verify']);
  // It compares the tag with the version.
  expect(commandsOf(release['files'] ?? {}).join('\n')).toMatch(/npm run release -- "\$\{VERSION#v\}" --dry-run/);
  for (const name of ['image', 'chart', 'maven']) expect(before(name), name).toContain('files');
  expect([...before('github'), 'github'].toSorted()).toEqual(Object.keys(release).toSorted());
});

test('the site of a release is published by a run of the default branch: GitHub Pages refuses one of a tag', () => {
  const publishing = PATHS.filter((path) => readFile(path).includes('actions/deploy-pages@'));
  expect(publishing).toEqual([`${FOLDER}site.yml`]);
  const { on, jobs } = parse(readFile(`${FOLDER}site.yml`));
  expect(on).toEqual({
    workflow_run: { workflows: [parse(readFile(`${FOLDER}release.yml`)).name], types: ['completed'] },
  });
  // A pull request may bring a workflow with the same name.
  expect(jobs.site.if).toContain("workflow_run.event == 'push'");
  expect(jobs.site.if).toContain("workflow_run.conclusion == 'success'");
  const names = (job: Job | undefined, action: string) =>
    job?.steps?.filter(({ uses }) => uses?.startsWith(action)).map((step) => step.with?.['name']);
  expect(names(release['files'], 'actions/upload-artifact@')).toContain(
    names(jobs.site, 'actions/download-artifact@')?.[0],
  );
});
