import { setTimeout as sleep } from 'node:timers/promises';

interface RetryOptions {
  /** Default: 30,000, as the machine may be busy. */
  readonly timeoutMs?: number;
  /** Pause between two calls. Default: 20. */
  readonly everyMs?: number;
}

/**
 * Calls `check` again and again until it returns something other than `false`, and returns that value.
 * @throws Error with the last failure as its cause, after `timeoutMs`
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 30_000, everyMs = 20 }: RetryOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const answer = await check();
      if (answer !== false) return answer;
      failure = new Error('the check always returned false');
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= deadline)
      throw new Error(`no success within ${timeoutMs} ms: ${failure}`, { cause: failure });
    await sleep(everyMs);
  }
}
