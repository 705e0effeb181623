import { defineConfig } from 'vitest/config';

const { MUTATE_FOLDER = '{broker,token,vendor-api,session}' } = process.env;

/**
 * The tests that each mutant of a folder runs against: fast ones, without Redis and without child processes. The
 * simulation is not among them: it would make each mutant cost ten seconds more.
 */
export default defineConfig({
  test: {
    include: [
      `test/unit/${MUTATE_FOLDER}/**/*.test.ts`,
      // The stores use these folders too.
      ...(MUTATE_FOLDER === 'token' ? ['test/contract/memory-store.test.ts'] : []),
    ],
    exclude: [
      // Needs Redis.
      'test/unit/broker/unreadable-due-entry.test.ts',
      // Takes as long as all others. On a busy machine, it met its timeout, which counts as a mutant that was found.
      'test/unit/broker/renewals-beside-newcomers.test.ts',
    ],
    // Loading the modules again for each test file would take longer than most tests.
    isolate: false,
    testTimeout: 10_000,
    hookTimeout: 10_000,
  },
});
