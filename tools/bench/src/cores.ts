import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/**
 * The measured process runs on one core. The bench, wrk, Redis and the vendor run on the other. Values of `taskset -c`.
 */
export const SERVER_CORE = '0';
export const LOAD_CORE = '1';
export const BOTH_CORES = '0,1';

/** Moves this process to the load core, and with it every process that it starts. @throws Error if it cannot */
export function useLoadCore(): void {
  if (process.platform !== 'linux' || availableParallelism() < 2) {
    throw new Error(
      'The bench needs Linux and two cores: it binds the measured process and the load to different ones',
    );
  }
  execFileSync('taskset', ['-acp', LOAD_CORE, String(process.pid)], { stdio: 'ignore' });
}

/** USER_HZ is 100 on every Linux that Node.js supports. */
const MS_PER_TICK = 10;

/** Time in ms that a core has been busy since the machine started. */
export function busyMs(core: string): number {
  const [, line = ''] = new RegExp(`^cpu${core} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8')) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.trim().split(/\s+/).map(Number);
  return (user + nice + system + irq + softirq) * MS_PER_TICK;
}

/** CPU time in ms that a process has used. */
export function cpuMs(pid: number): number {
  const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(afterName[11]) + Number(afterName[12])) * MS_PER_TICK;
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024;
}
