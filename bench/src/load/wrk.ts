import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { busyMs, cpuMs, LOAD_CORE, onCores } from '../processes/cores.ts';
import type { Server } from '../processes/server.ts';
import { wrkBinary } from './wrk-binary.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('requests.lua', import.meta.url));

/** Enough to keep one server busy, few enough that what a request waits for is mostly the server. */
const CONNECTIONS = 32;

/** Which requests are sent, as files. */
export interface RequestList {
  /** `uniqueId session` a line. */
  readonly sessionsFile: string;
  /** Numbers of lines of the sessions, from 1. */
  readonly orderFile: string;
}

export interface LoadOptions extends RequestList {
  /** Lines of the order, from 1, both included. */
  readonly first: number;
  readonly last: number;
  readonly seconds: number;
  /** Whether the list may be sent more than once. */
  readonly repeat: boolean;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What the server's process used for each request. */
  readonly cpuUsPerRequest: number;
  /** Share of the time, 1 is one core: how busy the server's process was, and the core of load and Redis. */
  readonly serverBusy: number;
  readonly loadCoreBusy: number;
}

interface Report {
  readonly requests: number;
  readonly durationMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly refused: number;
  readonly broken: number;
  readonly used: number;
  readonly listed: number;
}

/** As many requests as the server answers. @throws Error when one of them was not answered with a token */
export async function load(server: Pick<Server, 'url' | 'pid'>, options: LoadOptions): Promise<LoadResult> {
  const { seconds, first, last, repeat, sessionsFile, orderFile } = options;
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, server.url];
  const [command, all] = onCores(LOAD_CORE, wrkBinary(), args);
  const [cpuFrom, busyFrom, startedAt] = [cpuMs(server.pid), busyMs(LOAD_CORE), performance.now()];
  const { stdout } = await run(command, all, {
    env: { PATH: process.env['PATH'], SESSIONS: sessionsFile, ORDER: orderFile, FIRST: `${first}`, LAST: `${last}` },
  });
  const cpu = cpuMs(server.pid) - cpuFrom;
  const loadCoreBusy = (busyMs(LOAD_CORE) - busyFrom) / (performance.now() - startedAt);
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Report;
  const { requests, durationMs, p50Ms, p99Ms, refused, broken, used, listed } = report;
  if (refused + broken > 0) throw new Error(`Not valid: ${refused} requests were refused, ${broken} not answered`);
  if (used > listed && !repeat) throw new Error(`Not valid: ${listed} sessions were too few for ${used} requests`);
  return {
    perSecond: (requests / durationMs) * 1_000,
    p50Ms,
    p99Ms,
    cpuUsPerRequest: (cpu * 1_000) / requests,
    serverBusy: cpu / durationMs,
    loadCoreBusy,
  };
}
