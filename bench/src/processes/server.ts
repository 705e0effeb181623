import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { end, exitOf, linesOf } from '../../../test/support/child-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { plainRequest } from '../../../test/support/plain-request.ts';
import { LOAD_CORE, onCores } from './cores.ts';
import { ROOT } from './repository.ts';

export interface ServerOptions {
  /** Arguments of the `node` command. */
  readonly args: readonly string[];
  /** The server gets it as `PORT`. Default: a free port. */
  readonly port?: number;
  readonly env: Readonly<Record<string, string>>;
  readonly cores: string;
  /** Path that answers 200 when the server is ready. Default: `/readyz`. */
  readonly readyPath?: string;
}

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** Time from the start of the process to the first 200. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 15_000;
const POLL_MS = 5;

/**
 * Starts a server process on the given cores.
 * @throws Error with its output, if it does not become ready within 15 s
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { args, env, cores, readyPath = '/readyz', port = await freePort() } = options;
  const url = `http://127.0.0.1:${port}`;
  const [command, all] = onCores(cores, process.execPath, args);
  const startedAt = performance.now();
  const child = spawn(command, all, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', ...env, PORT: `${port}` },
  });
  const exit = exitOf(child);
  const log = linesOf(child, 100);
  let ended = false;
  void exit.finally(() => {
    ended = true;
  });
  const isReady = async () => {
    const answer = await plainRequest(url + readyPath, { timeoutMs: 1_000 }).catch(() => undefined);
    return answer?.status === 200;
  };
  while (!(await isReady())) {
    if (ended || performance.now() - startedAt > START_TIMEOUT_MS) {
      await end(child, exit, 1_000);
      throw new Error(`${args.join(' ')} did not become ready:\n${log().join('\n')}`);
    }
    await sleep(POLL_MS);
  }
  const readyMs = performance.now() - startedAt;
  if (child.pid === undefined) throw new Error(`${args.join(' ')} could not be started`);
  return {
    url,
    pid: child.pid,
    readyMs,
    async stop() {
      await end(child, exit, 15_000);
    },
  };
}

const VENDOR_STATE = '/simulator/state';

export interface BenchVendor {
  readonly url: string;
  /** Number of successful logins so far. */
  logins(): Promise<number>;
  stop(): Promise<void>;
}

/**
 * Starts the vendor simulator on the load core.
 * @param latencyMs time from a login request to its answer
 */
export async function startBenchVendor(latencyMs: number): Promise<BenchVendor> {
  const port = await freePort();
  const args = ['dist/main.js', 'simulate-vendor', '--port', `${port}`, '--latency', `${latencyMs}`];
  const { url, stop } = await startServer({ args, port, env: {}, cores: LOAD_CORE, readyPath: VENDOR_STATE });
  return {
    url,
    async logins() {
      const answer = await fetch(url + VENDOR_STATE);
      return ((await answer.json()) as { succeeded: number }).succeeded;
    },
    stop,
  };
}
