import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** What is measured runs on the one core; what loads it, Redis and the vendor on the other. As `taskset -c` wants them. */
export const SERVER_CORE = '0';
export const LOAD_CORE = '1';
export const BOTH_CORES = '0,1';

/** @throws Error where processes cannot be kept to cores */
export function requireTwoCores(): void {
  if (process.platform !== 'linux' || availableParallelism() < 2) {
    throw new Error('The bench needs Linux and two cores: it keeps what it measures and the load apart with taskset');
  }
}

/** The command that runs another one on these cores. */
export function onCores(cores: string, command: string, args: readonly string[]): [string, string[]] {
  return ['taskset', ['-c', cores, command, ...args]];
}

/** Moves a running process there, with all its threads. */
export function moveToCores(cores: string, pid: number): void {
  execFileSync('taskset', ['-acp', cores, String(pid)], { stdio: 'ignore' });
}

/** Ms a core has been busy since the machine started. */
export function busyMs(core: string): number {
  const [, line = ''] = new RegExp(`^cpu${core} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8')) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.trim().split(/\s+/).map(Number);
  return (user + nice + system + irq + softirq) * MS_PER_TICK;
}

/** Ms of CPU a process has used. */
export function cpuMs(pid: number): number {
  const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(afterName[11]) + Number(afterName[12])) * MS_PER_TICK;
}

/** Memory a process holds, in bytes. */
export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024;
}

/** USER_HZ, which is 100 wherever Node runs on Linux. */
const MS_PER_TICK = 10;
