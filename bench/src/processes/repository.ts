import { execFileSync } from 'node:child_process';
import { cpSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. All processes run there. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const LUA_SCRIPTS = 'src/store/redis/scripts';

/** Installs the packages of the peers if they are missing or outdated, and compiles the bench. npm adds `tsc` to `PATH`. */
export function buildPeers(): void {
  if (changedAt('bench/node_modules/.package-lock.json') < changedAt('bench/package-lock.json')) {
    run('npm', 'ci', '--silent', '--prefix', 'bench');
  }
  run('tsc', '-p', 'bench');
  // tsc does not copy the Lua scripts, which the store reads from the folder beside its own file.
  cpSync(join(ROOT, LUA_SCRIPTS), join(ROOT, 'bench/dist', LUA_SCRIPTS), { recursive: true });
}

/**
 * The compiled file of a bench module. Measured processes run this file, because code that tsx transforms is slower.
 * @param path below `bench/src`, without its extension
 */
export function compiled(path: string): string {
  return `bench/dist/bench/src/${path}.js`;
}

/** Epoch ms. 0 if the file does not exist. */
function changedAt(file: string): number {
  return statSync(join(ROOT, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
}
