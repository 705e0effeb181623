import { spawn } from 'node:child_process';
import { end, exitOf, linesOf } from '../../../test/support/child-process.ts';
import { eventually } from '../../../test/support/eventually.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { plainRequest } from '../../../test/support/plain-request.ts';

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** Time from the start of the process to the first 200 of `/readyz`. */
  readonly readyMs: number;
  /** The last 100 lines of its output. */
  output(): readonly string[];
  stop(): Promise<void>;
}

/**
 * Starts a server process on the given cores, with a free port as `PORT`.
 * @param args arguments of the `node` command
 * @param node its path. Default: that of this process
 * @throws Error with its output, if it does not become ready within 15 s
 */
export async function startServer(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cores: string,
  node: string = process.execPath,
): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const startedAt = performance.now();
  const child = spawn('taskset', ['-c', cores, node, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', ...env, PORT: `${port}` },
  });
  const exit = exitOf(child);
  const log = linesOf(child, 100);
  const isReady = async () => (await plainRequest(`${url}/readyz`, { timeoutMs: 1_000 })).status === 200;
  await eventually(isReady, { timeoutMs: 15_000, everyMs: 5 }).catch(async () => {
    await end(child, exit, 1_000);
    throw new Error(`${args.join(' ')} did not become ready:\n${log().join('\n')}`);
  });
  const readyMs = performance.now() - startedAt;
  return {
    url,
    pid: Number(child.pid),
    readyMs,
    output: log,
    async stop() {
      await end(child, exit, 15_000);
    },
  };
}
