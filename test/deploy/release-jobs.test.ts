import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { mirrorList } from '../../scripts/release/mirror-list.ts';
import { readFile } from '../support/documents.ts';
import { newFolder } from '../support/new-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const digest = (of: string) => `sha256:${createHash('sha256').update(of).digest('hex')}`;

/** What the programs read, print or write that are not here, by the beginning of their arguments. */
const ANSWERS: readonly (readonly [string, string])[] = [
  ['docker login', 'cat > /dev/null'],
  ['helm registry login', 'cat > /dev/null'],
  ['docker buildx imagetools inspect node:24-trixie-slim', `echo '{"digest":"${digest('base')}"}'`],
  ['docker buildx build', `echo '{"containerimage.digest":"${digest('image')}"}' > image.json`],
  ['docker create', 'echo a-container'],
  ['docker cp', 'echo {} > sbom.cdx.json'],
  ['helm push', `echo 'Digest: ${digest('chart')}'`],
];

/** The commands that need the internet, in their order, as the jobs gave them in a copy of another owner. */
let commands: string[];
let folder: string;

interface Step {
  readonly id?: string;
  readonly name?: string;
  readonly run?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly 'working-directory'?: string;
}

// Runs the steps of the jobs image, chart and github as GitHub does, with programs that only note their arguments.
beforeAll(() => {
  folder = newFolder();
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  const cases = ANSWERS.map(([start, script]) => `"${start}"*) ${script} ;;`).join('\n');
  const script = `#!/bin/bash\nline="\${0##*/} $*"\necho "$line" >> "$COMMANDS"\ncase $line in\n${cases}\nesac\n`;
  for (const name of ['docker', 'cosign', 'helm', 'yq', 'gh', 'oras', 'skopeo'])
    writeFileSync(join(programs, name), script, { mode: 0o755 });
  const { jobs, env, defaults } = parse(readFile('.github/workflows/release.yml'));
  expect(defaults.run.shell).toBe('bash');
  const outputs: Record<string, string> = { 'github.ref_name': 'v1.2.3', 'github.token': 'a-token' };
  const filled = (text: string) => text.replaceAll(/\$\{\{ (.*?) \}\}/g, (_, name: string) => outputs[name] ?? '?');
  const filledAll = (variables: object = {}) =>
    Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, filled(value)]));
  for (const job of ['image', 'chart', 'github']) {
    const cwd = join(folder, job);
    mkdirSync(cwd);
    for (const path of ['Dockerfile', 'deploy/helm']) cpSync(join(ROOT, path), join(cwd, path), { recursive: true });
    if (job === 'github') writeFiles(join(cwd, 'release'));
    for (const { id, name, run, env: own, 'working-directory': inside = '.' } of jobs[job].steps as Step[]) {
      if (run === undefined) continue;
      const output = join(folder, 'output');
      writeFileSync(output, '');
      const { status, stderr } = spawnSync('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', filled(run)], {
        cwd: join(cwd, inside),
        encoding: 'utf8',
        env: {
          ...{ PATH: `${programs}:${process.env['PATH']}`, COMMANDS: join(folder, 'commands'), GITHUB_OUTPUT: output },
          ...{ GITHUB_REPOSITORY_OWNER: 'Another-Owner', GITHUB_REPOSITORY: 'Another-Owner/sdk-token-broker' },
          ...{ GITHUB_SERVER_URL: 'https://github.com', GITHUB_ACTOR: 'somebody' },
          ...filledAll(env),
          ...filledAll(own),
        },
      });
      expect({ name, status, stderr }).toEqual({ name, status: 0, stderr: '' });
      for (const line of readFileSync(output, 'utf8').trim().split('\n')) {
        const [key, value = ''] = line.split('=');
        outputs[`steps.${id}.outputs.${key}`] = value;
      }
    }
    for (const [name, value] of Object.entries<string>(jobs[job].outputs ?? {}))
      outputs[`needs.${job}.outputs.${name}`] = filled(value);
  }
  const [, copy = ''] = /### Without the internet.*?```sh\n(.*?)```/s.exec(readFile('docs/production.md')) ?? [];
  const inDocument = { PATH: `${programs}:${process.env['PATH']}`, COMMANDS: join(folder, 'commands') };
  execFileSync('sh', ['-ec', copy], { cwd: join(folder, 'github/release/files'), env: inDocument });
  commands = readFileSync(join(folder, 'commands'), 'utf8').trimEnd().split('\n');
});

/** As the job `files` hands them over. */
function writeFiles(release: string): void {
  mkdirSync(join(release, 'files'), { recursive: true });
  writeFileSync(join(release, 'NOTES.md'), 'The notes.');
  writeFileSync(join(release, 'files/mirror.txt'), mirrorList(ROOT, 'Another-Owner', '1.2.3'));
  writeFileSync(join(release, 'files/rules.yml'), 'groups: []');
  writeFileSync(join(release, 'files/SHA256SUMS'), 'of before');
}

const commandsOf = (start: string) => commands.filter((command) => command.startsWith(start));
const IMAGE = `ghcr.io/another-owner/sdk-token-broker@${digest('image')}`;

test('both stages of the image are built from the base image of one digest, which its labels name', () => {
  const [build = '', ...others] = commandsOf('docker buildx build');
  expect(others).toEqual([]);
  expect(build).toContain(` --build-arg BASE_IMAGE=node:24-trixie-slim@${digest('base')} `);
  expect(build).toContain(` --label org.opencontainers.image.base.digest=${digest('base')} `);
  expect(build).toMatch(/ --tag ghcr\.io\/another-owner\/sdk-token-broker:1\.2\.3 \.$/);
  expect(readFile('Dockerfile').match(/^FROM .*\$\{BASE_IMAGE:-/gm)).toHaveLength(2);
});

test('image and chart are signed by their digests, in the registry of the owner', () => {
  expect(commandsOf('cosign')).toEqual([
    `cosign sign --yes ${IMAGE}`,
    `cosign attest --yes --type cyclonedx --predicate sbom.cdx.json ${IMAGE}`,
    `cosign sign --yes ghcr.io/another-owner/charts/sdk-token-broker@${digest('chart')}`,
  ]);
});

test('the release on GitHub has the list for mirrors with the digests of what was pushed, and sums that match', () => {
  const files = join(folder, 'github/release/files');
  const list = readFileSync(join(files, 'mirror.txt'), 'utf8').split('\n');
  expect(list.filter((line) => line.includes('sha256:'))).toEqual([
    `signed ghcr.io/another-owner/sdk-token-broker 1.2.3 ${digest('image')}`,
    `signed ghcr.io/another-owner/charts/sdk-token-broker 1.2.3 ${digest('chart')}`,
    `base docker.io/library/node 24-trixie-slim ${digest('base')}`,
  ]);
  execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: files });
  expect(commandsOf('gh')).toEqual([
    'gh release create v1.2.3 --repo Another-Owner/sdk-token-broker --verify-tag --title v1.2.3 ' +
      `--notes-file release/NOTES.md ${readdirSync(files)
        .map((name) => `release/files/${name}`)
        .join(' ')}`,
  ]);
});

test('the documented commands copy everything on the list from one registry to another, with its signatures', () => {
  expect([...commandsOf('oras'), ...commandsOf('skopeo')]).toEqual([
    `oras copy --recursive ${IMAGE} mirror.example/another-owner/sdk-token-broker:1.2.3`,
    `oras copy --recursive ghcr.io/another-owner/charts/sdk-token-broker@${digest('chart')} mirror.example/another-owner/charts/sdk-token-broker:1.2.3`,
    ...['library/redis:8-alpine', 'prom/prometheus:v3.5.0', 'grafana/grafana:12.1.0'].map(
      (image) => `skopeo copy --all docker://docker.io/${image} docker://mirror.example/${image}`,
    ),
  ]);
});
