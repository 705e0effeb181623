import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The built program. */
const ENTRY = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const alive = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/**
 * Resolves when the child ends. If this process ends first, it kills the child.
 * Rejects if the child cannot start.
 */
export function exitOf(child: ChildProcess): Promise<ProcessExit> {
  alive.add(child);
  const exit = new Promise<ProcessExit>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  }).finally(() => alive.delete(child));
  exit.catch(() => {});
  return exit;
}

/** Sends SIGTERM, then SIGKILL after `graceMs`. Also ends a child that is frozen by SIGSTOP. */
export async function end(child: ChildProcess, exit: Promise<ProcessExit>, graceMs: number): Promise<ProcessExit> {
  child.kill('SIGTERM');
  child.kill('SIGCONT');
  const killTimer = new AbortController();
  const killed = sleep(graceMs, undefined, { signal: killTimer.signal }).then(
    () => child.kill('SIGKILL'),
    () => {},
  );
  try {
    return await exit;
  } finally {
    killTimer.abort();
    await killed;
  }
}

/** Collects the last `limit` lines of the child's standard output and standard error. */
export function linesOf(child: ChildProcess, limit: number): () => string[] {
  const lines: string[] = [];
  const keep = (more: string[]) => {
    lines.push(...more);
    if (lines.length > limit) lines.splice(0, lines.length - limit);
  };
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      keep(parts);
    });
    stream?.once('end', () => {
      if (rest !== '') keep([rest]);
    });
  }
  return () => [...lines];
}

export interface ChildProgram {
  readonly pid: number;
  readonly exit: Promise<ProcessExit>;
  /** The last 5,000 lines of its standard output and standard error. */
  log(): string[];
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after 15 s. Also ends a child that is frozen by SIGSTOP. Idempotent. */
  stop(): Promise<ProcessExit>;
}

/**
 * Starts a program that gets only `env` and PATH as its environment.
 * @throws Error if it cannot be started
 */
export function startProgram(
  [program, ...args]: readonly [program: string, ...args: string[]],
  env: Readonly<Record<string, string>> = {},
  options: Pick<SpawnOptions, 'cwd' | 'detached'> = {},
): ChildProgram {
  const child = spawn(program, args, {
    ...options,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = exitOf(child);
  if (child.pid === undefined) throw new Error(`${program} cannot be started`);
  const signal = (name: NodeJS.Signals) => void child.kill(name);
  return { pid: child.pid, exit, log: linesOf(child, 5_000), signal, stop: () => end(child, exit, 15_000) };
}

/** Starts a command of `dist/main.js` that gets only `env` and PATH as its environment. */
export function startCommand(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const program = startProgram([process.execPath, ENTRY, ...args], env);
  /** The exit code, and all that it has printed. */
  const ended = async () => ({ code: (await program.exit).code, out: program.log().join('\n') });
  return { ...program, ended };
}
