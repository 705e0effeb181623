import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { end, exitOf, linesOf } from '../../../test/support/child-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { plainRequest } from '../../../test/support/plain-request.ts';
import { onCores } from './cores.ts';
import { ROOT } from './repository.ts';

export interface ServerOptions {
  /** What Node is to run, with its arguments. */
  readonly args: readonly string[];
  /** In its environment as `PORT`. Default: a free one. */
  readonly port?: number;
  readonly env: Readonly<Record<string, string>>;
  readonly cores: string;
  /** What answers 200 once it serves. Default `/readyz`. */
  readonly readyPath?: string;
}

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** From its start to the first 200. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

const PATIENCE_MS = 15_000;
const EVERY_MS = 5;

/** A server process on cores of its own. @throws Error with what it wrote, if it does not get ready */
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
    if (ended || performance.now() - startedAt > PATIENCE_MS) {
      await end(child, exit, 1_000);
      throw new Error(`${args.join(' ')} did not get ready:\n${log().join('\n')}`);
    }
    await sleep(EVERY_MS);
  }
  const readyMs = performance.now() - startedAt;
  if (child.pid === undefined) throw new Error(`${args.join(' ')} was never started`);
  return {
    url,
    pid: child.pid,
    readyMs,
    async stop() {
      await end(child, exit, 15_000);
    },
  };
}
