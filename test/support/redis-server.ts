import { once } from 'node:events';
import { connect } from 'node:net';
import { Redis } from 'ioredis';
import { type ChildProgram, startProgram } from './child-process.ts';
import { endWithTest } from './end-with-test.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { newFolder } from './new-folder.ts';
import { systemBinary } from './system-binary.ts';

interface RedisOptions {
  /** Default: a free port. */
  readonly port?: number;
  /** Additional arguments of redis-server. They override the defaults. */
  readonly args?: readonly string[];
  /** Working directory of the server. Default: a new directory. */
  readonly dir?: string;
  /** Default: `redis-server`. */
  readonly program?: string;
}

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Changes with each restart. */
  readonly pid: number;
  /** Graceful shutdown. Idempotent. */
  stop(): Promise<void>;
  /** SIGKILL, like a crash. Idempotent. */
  kill(): Promise<void>;
  /** Freezes the process: connections stay open, but the server answers nothing. */
  pause(): void;
  resume(): void;
  /** Stops the server if it still runs, and starts it again on the same port. */
  restart(): Promise<void>;
}

/**
 * Path of `redis-server`. Installs the program with the system's package manager where this user may do so.
 * @throws Error that tells how to install it
 */
export function redisBinary(): string {
  return systemBinary({
    program: 'redis-server',
    packages: { apk: 'redis', dnf: 'redis', brew: 'redis' },
    need: 'The tests need a real Redis',
    instead: 'Or set TEST_REDIS_URL to a running Redis. Tests that stop and restart a Redis always need redis-server.',
  });
}

/** Starts a separate Redis on loopback, without persistence, and waits until it answers. It ends with the test. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { port = await freePort(), dir = newFolder() } = options;
  let running: ChildProgram;
  try {
    running = await spawnRedis(port, options, dir);
  } catch (error) {
    // Another process may have taken the port since it was found free.
    if (options.port !== undefined || !String(error).includes('in use')) throw error;
    return startRedis(options);
  }
  const kill = async () => {
    running.signal('SIGKILL');
    await running.exit;
  };
  const stop = async () => void (await running.stop());
  endWithTest(kill);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return running.pid;
    },
    stop,
    kill,
    pause: () => running.signal('SIGSTOP'),
    resume: () => running.signal('SIGCONT'),
    async restart() {
      await stop();
      running = await spawnRedis(port, options, dir);
    },
  };
}

async function spawnRedis(
  port: number,
  { args = [], program = redisBinary() }: RedisOptions,
  dir: string,
): Promise<ChildProgram> {
  const own = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no'];
  const redis = startProgram([program, ...own, ...args]);
  const { exit, log, signal } = redis;
  const died = exit.then(({ code, signal }) => {
    throw new Error(`redis-server ended (${signal ?? code}) instead of serving:\n${log().join('\n')}`);
  });
  died.catch(() => {});
  try {
    // Wait for its log line first: if the port is taken, another Redis would answer the PING.
    const isReady = async () => log().some((line) => line.includes('Ready to accept')) && (await answersPing(port));
    await Promise.race([died, eventually(isReady)]);
  } catch (error) {
    signal('SIGKILL');
    throw error;
  }
  return redis;
}

/** Whether the server answers anything except "still loading". With a password set, the answer is an error. */
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

interface RedisAddress {
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
}

/** Runs `commands` on a new connection to a Redis on loopback, and closes the connection. */
export async function askRedis<T>(
  { port, username, password }: RedisAddress,
  commands: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = new Redis({ port, username, password, host: '127.0.0.1', lazyConnect: true, retryStrategy: null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await commands(redis);
  } finally {
    redis.disconnect();
  }
}
