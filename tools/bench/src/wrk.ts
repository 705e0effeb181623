import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemBinary } from '../../../test/support/system-binary.ts';
import { busyMs, cpuMs, LOAD_CORE } from './cores.ts';
import type { Server } from './server.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('requests.lua', import.meta.url));

/** Enough connections to keep one server busy, but so few that a request waits mainly for the server. */
const CONNECTIONS = 32;

export interface LoadOptions {
  /** A file with one `uniqueId session` per line. */
  readonly list: string;
  /** First and last line of the load, from 1, both inclusive. */
  readonly first: number;
  readonly last: number;
  readonly seconds: number;
  /** Whether the load may send the list more than once. Default: no. */
  readonly repeat?: boolean;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the server process per request. */
  readonly cpuUsPerRequest: number;
  /** Utilization of the server process, and of the core with load and Redis. 1 is one busy core. */
  readonly serverBusy: number;
  readonly loadCoreBusy: number;
}

/** What `requests.lua` prints. */
interface Report {
  readonly latency: Pick<LoadResult, 'p50Ms' | 'p99Ms'>;
  readonly durationMs: number;
  readonly requests: number;
  /** Requests that were not answered with a token. */
  readonly failed: number;
  /** Requests that were taken from the list, with those that had no answer at the end, and the length of the list. */
  readonly taken: number;
  readonly listed: number;
}

/** Path of wrk. Installs it with the system's package manager where this user may do so. @throws Error if it cannot */
export function wrkBinary(): string {
  return systemBinary({ program: 'wrk', need: 'The bench generates load with wrk' });
}

/** Sends as many requests as the server answers. @throws Error if one of the answers is not a token */
export async function load({ url, pid }: Server, options: LoadOptions): Promise<LoadResult> {
  const { list, first, last, seconds, repeat = false } = options;
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, url];
  const [cpuFrom, busyFrom, startedAt] = [cpuMs(pid), busyMs(LOAD_CORE), performance.now()];
  const { stdout } = await run(wrkBinary(), args, {
    env: { PATH: process.env['PATH'], LIST: list, FIRST: `${first}`, LAST: `${last}` },
  });
  const cpu = cpuMs(pid) - cpuFrom;
  const loadCoreBusy = (busyMs(LOAD_CORE) - busyFrom) / (performance.now() - startedAt);
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Report;
  const { latency, durationMs, requests, failed, taken, listed } = report;
  if (failed > 0) throw new Error(`Invalid run: ${failed} requests failed`);
  if (taken > listed && !repeat) throw new Error(`Invalid run: ${listed} sessions are not enough`);
  return {
    ...latency,
    perSecond: (requests / durationMs) * 1_000,
    cpuUsPerRequest: (cpu * 1_000) / requests,
    serverBusy: cpu / durationMs,
    loadCoreBusy,
  };
}
