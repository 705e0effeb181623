import { TestRunner } from 'vitest';

/**
 * Calls `end` when the test that runs now is over. What a hook, a concurrent test or a program has started, it ends
 * itself.
 * @returns `end`, which now runs once at most
 */
export function endWithTest<Result>(end: () => Promise<Result>): () => Promise<Result> {
  let ended: Promise<Result> | undefined;
  const endOnce = () => {
    ended ??= end();
    return ended;
  };
  const test = TestRunner.getCurrentTest();
  if (test && !test.concurrent) test.context.onTestFinished(async () => void (await endOnce()));
  return endOnce;
}
