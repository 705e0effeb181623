import { setTimeout as sleep } from 'node:timers/promises';

interface TimeBudget {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
}

/**
 * Repeats `check` until it neither throws nor answers `false`, and answers what it answered last.
 * @throws what the last try threw, once `timeoutMs` (default 5000) is over
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 5_000, everyMs = 20 }: TimeBudget = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const answer = await check();
      if (answer !== false) return answer;
      failure = new Error('the check kept answering false');
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${failure}`, { cause: failure });
    await sleep(everyMs);
  }
}
