import { setTimeout as sleep } from 'node:timers/promises';
import { busyMs, LOAD_CORE, SERVER_CORE } from './processes/cores.ts';

const WATCHED_MS = 2_000;
const CORES = [SERVER_CORE, LOAD_CORE];

/** The share of the cores that is taken while the bench does nothing: 0 is none, 1 is all. */
export async function otherLoad(): Promise<number> {
  const before = CORES.map(busyMs);
  const startedAt = performance.now();
  await sleep(WATCHED_MS);
  const shares = CORES.map((core, index) => (busyMs(core) - (before[index] ?? 0)) / (performance.now() - startedAt));
  return shares.reduce((sum, share) => sum + share, 0) / CORES.length;
}
