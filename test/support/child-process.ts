import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const alive = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** Resolves when the child has ended; until then the child does not outlive this process. Rejects if it cannot start. */
export function exitOf(child: ChildProcess): Promise<ProcessExit> {
  alive.add(child);
  const exit = new Promise<ProcessExit>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  }).finally(() => alive.delete(child));
  exit.catch(() => {});
  return exit;
}

/** Ends the child by its own shutdown, also when it is stopped; by force if it takes longer than `graceMs`. */
export async function end(child: ChildProcess, exit: Promise<ProcessExit>, graceMs: number): Promise<ProcessExit> {
  child.kill('SIGTERM');
  child.kill('SIGCONT');
  const patience = new AbortController();
  const force = sleep(graceMs, undefined, { signal: patience.signal }).then(
    () => child.kill('SIGKILL'),
    () => {},
  );
  try {
    return await exit;
  } finally {
    patience.abort();
    await force;
  }
}

/** The last `limit` lines a child wrote, on either stream. */
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
