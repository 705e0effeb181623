import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './processes/repository.ts';

/** Gets the packages the broker is measured beside, unless they are there, and compiles what uses them. */
export function buildPeers(): void {
  if (changedAt('bench/node_modules/.package-lock.json') < changedAt('bench/package-lock.json')) {
    run('npm', 'ci', '--silent', '--prefix', 'bench');
  }
  run('npx', 'tsc', '-p', 'bench');
}

/**
 * Where {@link buildPeers} leaves what it compiles: what is measured runs as tsc made it, as what tsx makes is slower.
 * @param path below `bench/src`, without its ending
 */
export function compiled(path: string): string {
  return `bench/dist/bench/src/${path}.js`;
}

/** Epoch ms; 0 where there is no such file. */
function changedAt(file: string): number {
  return statSync(join(ROOT, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
}
