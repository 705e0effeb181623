import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onCores, SERVER_CORE } from '../processes/cores.ts';

const SCRIPT = fileURLToPath(new URL('fill-cache.ts', import.meta.url));
const NODE_OPTIONS = ['--expose-gc', '--max-old-space-size=8192', '--import', 'tsx'];

export interface CacheMemory {
  /** Resident bytes of the process without and with its entries. */
  readonly before: number;
  readonly after: number;
  readonly entries: number;
  /** What the cache counts them as, against its bound. */
  readonly counted: number;
}

/** What a process takes that remembers `subjects` tokens. */
export async function cacheMemory(subjects: number): Promise<CacheMemory> {
  const args = [...NODE_OPTIONS, SCRIPT, String(subjects)];
  const { stdout } = await promisify(execFile)(...onCores(SERVER_CORE, process.execPath, args));
  const memory = JSON.parse(stdout) as CacheMemory;
  if (memory.entries !== subjects) throw new Error(`${memory.entries} of ${subjects} tokens are in memory`);
  return memory;
}
