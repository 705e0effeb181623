import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Installer {
  readonly program: string;
  readonly asRoot: boolean;
  readonly steps: readonly (readonly string[])[];
}

const installers: readonly Installer[] = [
  {
    program: 'apt-get',
    asRoot: true,
    steps: [
      ['update', '-qq'],
      ['install', '-y', '-qq', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', 'redis-server'],
    ],
  },
  { program: 'apk', asRoot: true, steps: [['add', '--no-cache', 'redis']] },
  { program: 'dnf', asRoot: true, steps: [['install', '-y', '-q', 'redis']] },
  { program: 'brew', asRoot: false, steps: [['install', '--quiet', 'redis']] },
];

/**
 * Where `redis-server` is: on the PATH, else installed now through the system's package manager where this user may.
 * @throws Error that says what to do
 */
export function redisBinary(): string {
  const reason = onPath('redis-server') ? undefined : install();
  const found = onPath('redis-server');
  if (found) return found;
  throw new Error(
    `The tests need a real Redis, and there is no redis-server on the PATH (${reason}). ` +
      'Install it (Debian and Ubuntu: apt-get install redis-server, Alpine: apk add redis, Fedora: dnf install redis, ' +
      'macOS: brew install redis), or set TEST_REDIS_URL to a running one. ' +
      'The tests that stop and restart a Redis need redis-server in any case.',
  );
}

/** Why there is still no Redis, if so. */
function install(): string | undefined {
  const isRoot = process.getuid?.() === 0;
  const present = installers.filter(({ program }) => onPath(program));
  const usable = present.find(({ asRoot }) => asRoot === isRoot);
  if (!usable) {
    return present.length === 0 ? 'no known package manager here' : 'this user may not install packages';
  }
  process.stderr.write(`Installing Redis for the tests with ${usable.program} …\n`);
  try {
    for (const step of usable.steps) {
      execFileSync(usable.program, step, {
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: 240_000,
        // RUNLEVEL=1: the package's own service is not to be started.
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', HOMEBREW_NO_AUTO_UPDATE: '1' },
      });
    }
    return `${usable.program} did not bring one`;
  } catch (error) {
    return `${usable.program} failed: ${error instanceof Error ? error.message.trim() : error}`;
  }
}

function onPath(program: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
