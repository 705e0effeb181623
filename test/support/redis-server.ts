import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { end, exitOf, linesOf, type ProcessExit } from './child-process.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { redisBinary } from './redis-binary.ts';

interface RedisOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** More of redis-server's own arguments; they win over the default ones. */
  readonly args?: readonly string[];
  /** Where it keeps its files; default: a new directory. */
  readonly dir?: string;
}

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Another one after each restart. */
  readonly pid: number;
  /** Ends it in good order. Idempotent. */
  stop(): Promise<void>;
  /** Ends it as a crash would. Idempotent. */
  kill(): Promise<void>;
  /** Freezes it: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** Ends it in good order if it still runs, and starts it on the same port. */
  restart(): Promise<void>;
}

interface Running {
  readonly child: ChildProcess;
  readonly exit: Promise<ProcessExit>;
}

/** A Redis of one's own on loopback, without persistence, ready to be asked. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { port = await freePort(), dir = mkdtempSync(join(tmpdir(), 'redis-')) } = options;
  let running: Running;
  try {
    running = await launch(port, options, dir);
  } catch (error) {
    // Between finding the free port and listening on it, somebody else may have taken it.
    if (options.port !== undefined || !String(error).includes('in use')) throw error;
    return startRedis(options);
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return pidOf(running.child);
    },
    stop: () => stop(running),
    async kill() {
      running.child.kill('SIGKILL');
      await running.exit;
    },
    pause: () => void running.child.kill('SIGSTOP'),
    resume: () => void running.child.kill('SIGCONT'),
    async restart() {
      await stop(running);
      running = await launch(port, options, dir);
    },
  };
}

async function stop({ child, exit }: Running): Promise<void> {
  await end(child, exit, 5_000);
}

async function launch(port: number, { args = [] }: RedisOptions, dir: string): Promise<Running> {
  const own = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no'];
  const child = spawn(redisBinary(), [...own, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = exitOf(child);
  const log = linesOf(child, 100);
  const died = exit.then(({ code, signal }) => {
    throw new Error(`redis-server ended (${signal ?? code}) instead of serving:\n${log().join('\n')}`);
  });
  died.catch(() => {});
  try {
    // Its own word comes first: on a port already taken, another Redis would answer the PING.
    const isReady = async () => log().some((line) => line.includes('Ready to accept')) && (await answersPing(port));
    await Promise.race([died, eventually(isReady, { timeoutMs: 10_000 })]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return { child, exit };
}

/** Any answer but "still loading" will do: with a password set, a refusal is the sign of life. */
async function answersPing(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1', timeout: 1_000 });
  socket.once('timeout', () => socket.destroy(new Error('no answer to PING')));
  try {
    await once(socket, 'connect');
    socket.write('PING\r\n');
    const [answer] = await once(socket, 'data');
    return !String(answer).startsWith('-LOADING');
  } finally {
    socket.destroy();
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the process was never started');
  return child.pid;
}
