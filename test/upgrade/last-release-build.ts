import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The commit of the last release. Until 0.1.0 is released: a commit from shortly before it. */
const COMMIT = readFileSync(new URL('last-release', import.meta.url), 'utf8').trim();

/** A source archive has no history, so it cannot build the last release. */
export const hasHistory = existsSync(join(ROOT, '.git'));

/**
 * Builds the last release.
 * @param folder where its source goes
 * @returns the script that starts it
 */
export function buildLastRelease(folder: string): string {
  const source = join(folder, 'last-release');
  mkdirSync(source);
  execFileSync('tar', ['-x', '-C', source], { input: archive() });
  const packages = packagesOfBuild(source);
  // Copies, because the build script takes the packages to be below its own folder.
  if (packages) for (const path of packages) cpSync(join(ROOT, path), join(source, path), { recursive: true });
  else run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], source);
  run('node', ['scripts/build.mjs'], source);
  return join(source, 'dist/main.js');
}

function archive(): Buffer {
  try {
    return execFileSync('git', ['archive', COMMIT], { cwd: ROOT, maxBuffer: 256 * 1024 * 1024 });
  } catch (error) {
    const fetched = `git fetch --depth 1 origin ${COMMIT}`;
    throw new Error(`this clone lacks the commit of the last release. Get it: ${fetched}`, { cause: error });
  }
}

function run(program: string, args: readonly string[], cwd: string): void {
  execFileSync(program, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** What the build script imports. Of esbuild with its program for this machine; those for others are not installed. */
const OF_BUILD = /^node_modules\/(@?esbuild|marked)(\/|$)/;

interface LockedPackage {
  readonly integrity?: string;
  readonly dev?: boolean;
}

/**
 * The folders of the packages that the release bundles, and of those that its build script imports.
 * @returns `undefined` if the present code has another version of one of them
 */
function packagesOfBuild(source: string): readonly string[] | undefined {
  const [present, released] = [lockedPackages(ROOT), lockedPackages(source)];
  const needed = Object.entries(released).filter(([path, { dev }]) => path !== '' && (!dev || OF_BUILD.test(path)));
  if (needed.some(([path, { integrity }]) => present[path]?.integrity !== integrity)) return undefined;
  return needed.map(([path]) => path).filter((path) => existsSync(join(ROOT, path)));
}

function lockedPackages(folder: string): Record<string, LockedPackage> {
  return JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
}
