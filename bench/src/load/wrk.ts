import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemBinary } from '../../../test/support/system-binary.ts';
import { busyMs, cpuMs, LOAD_CORE, onCores } from '../processes/cores.ts';
import type { Server } from '../processes/server.ts';
import type { BenchSessions } from '../sessions.ts';
import type { BenchSubject } from '../subjects.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('requests.lua', import.meta.url));

/** Enough connections to keep one server busy, but so few that a request waits mainly for the server. */
export const CONNECTIONS = 32;

/** Files that list the requests. */
export interface RequestList {
  /** One `uniqueId session` per line. */
  readonly sessionsFile: string;
  /** Line numbers of the sessions file, from 1, in the order of the requests. */
  readonly orderFile: string;
}

export interface LoadOptions extends RequestList {
  /** First and last line of the order file, from 1, both inclusive. */
  readonly first: number;
  readonly last: number;
  readonly seconds: number;
  /** Whether the load may send the list more than once. */
  readonly repeat: boolean;
  /** Mean pause of a connection after each answer. Default: none. */
  readonly pauseMs?: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Requests that were taken from the list, with those that had no answer at the end. */
  readonly taken: number;
  /** CPU time of the server process per request. */
  readonly cpuUsPerRequest: number;
  /** Utilization of the server process, and of the core with load and Redis. 1 is one busy core. */
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

/** Path of wrk. Installs it with the system's package manager where this user may do so. @throws Error if it cannot */
export function wrkBinary(): string {
  return systemBinary({ program: 'wrk', need: 'The bench generates load with wrk' });
}

/**
 * Writes a session for each subject, and the order of the requests.
 * @param order indices of subjects. Default: each subject once
 */
export async function writeRequests(
  folder: string,
  sessions: BenchSessions,
  subjects: readonly BenchSubject[],
  order: readonly number[] = [...subjects.keys()],
): Promise<RequestList> {
  const [sessionsFile, orderFile] = [join(folder, 'sessions'), join(folder, 'order')];
  await writeFile(sessionsFile, subjects.map((subject) => `${subject.uniqueId} ${sessions.of(subject)}\n`).join(''));
  await writeFile(orderFile, order.map((index) => `${index + 1}\n`).join(''));
  return { sessionsFile, orderFile };
}

/** Sends a list to servers, once to each: every load of a server begins behind the last request of the one before. */
export class OnceEach {
  readonly #list: RequestList;
  readonly #last: number;
  readonly #next = new Map<Server, number>();

  /** @param requests length of the list */
  constructor(list: RequestList, requests: number) {
    this.#list = list;
    this.#last = requests;
  }

  /** Sends as many requests as the server answers. @throws Error as {@link load}, or if the list is too short */
  async load(server: Server, seconds: number): Promise<LoadResult> {
    const first = this.#next.get(server) ?? 1;
    const result = await load(server, { ...this.#list, first, last: this.#last, repeat: false, seconds });
    this.#next.set(server, first + result.taken);
    return result;
  }
}

/** Sends as many requests as the server answers. @throws Error if one of the answers is not a token */
export async function load(server: Pick<Server, 'url' | 'pid'>, options: LoadOptions): Promise<LoadResult> {
  const { seconds, first, last, repeat, sessionsFile, orderFile, pauseMs = 0 } = options;
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, server.url];
  const [command, all] = onCores(LOAD_CORE, wrkBinary(), args);
  const [cpuFrom, busyFrom, startedAt] = [cpuMs(server.pid), busyMs(LOAD_CORE), performance.now()];
  const { stdout } = await run(command, all, {
    env: {
      PATH: process.env['PATH'],
      SESSIONS: sessionsFile,
      ORDER: orderFile,
      FIRST: `${first}`,
      LAST: `${last}`,
      PAUSE_MS: `${pauseMs}`,
    },
  });
  const cpu = cpuMs(server.pid) - cpuFrom;
  const loadCoreBusy = (busyMs(LOAD_CORE) - busyFrom) / (performance.now() - startedAt);
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Report;
  const { requests, durationMs, p50Ms, p99Ms, refused, broken, used, listed } = report;
  if (refused + broken > 0) throw new Error(`Invalid run: ${refused} requests failed, ${broken} got no answer`);
  if (used > listed && !repeat) throw new Error(`Invalid run: ${listed} sessions are not enough for ${used} requests`);
  return {
    perSecond: (requests / durationMs) * 1_000,
    p50Ms,
    p99Ms,
    taken: used,
    cpuUsPerRequest: (cpu * 1_000) / requests,
    serverBusy: cpu / durationMs,
    loadCoreBusy,
  };
}
