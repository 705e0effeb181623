import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { compiled } from '../build-peers.ts';
import { onCores, SERVER_CORE } from '../processes/cores.ts';
import { ROOT } from '../processes/repository.ts';
import type { Drained } from './drain.ts';

const TIMEOUT_MS = 180_000;

export interface DrainInput {
  readonly redisUrl: string;
  /** How many are due. */
  readonly tokens: number;
  /** How many jobs a worker of BullMQ has under way at a time; the broker has its own bound. */
  readonly concurrency?: number;
}

/** Has a process on the measured core put tokens that are due into Redis and renew them. @throws Error if it fails */
export async function drainWith(script: string, input: DrainInput): Promise<Drained> {
  const args = [compiled(`renewal/${script}`), JSON.stringify(input)];
  const { stdout } = await promisify(execFile)(...onCores(SERVER_CORE, process.execPath, args), {
    cwd: ROOT,
    timeout: TIMEOUT_MS,
  });
  return JSON.parse(stdout) as Drained;
}

/** In that process: what it is to do. */
export function drainInput(): DrainInput {
  return JSON.parse(process.argv[2] ?? '') as DrainInput;
}

/** In that process: tells what it measured. */
export function tell(drained: Drained): void {
  process.stdout.write(JSON.stringify(drained));
}
