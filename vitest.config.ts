import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The tests of `npm test`, which sets TESTS=short. */
const SHORT = [
  'test/*.test.ts',
  'test/{unit,contract,simulation,judge}/**/*.test.ts',
  'test/site/documents.test.ts',
  // Each way to run Redis.
  'test/integration/{service,redis-sentinel,redis-cluster}.test.ts',
  // Each promise of docs/reliability.md, and that a replica refuses strangers and stops without losing a request.
  'test/integration/{broken-vendor,concurrent-reads,logout-wins,replica-failures,bad-sessions,secrets,shutdown}.test.ts',
];

/** By the variable TESTS. `npm run test:all` does not set it, and runs every test. */
const TESTS: Record<string, string[]> = { short: SHORT, ci: [...SHORT, 'test/{clients,deploy}/**/*.test.ts'] };

/** Folders whose files take long, the longest first. */
const LONG_FILES = [
  'upgrade',
  'simulation',
  'examples',
  'clients',
  'site',
  'integration',
  'contract',
  'browser',
  'hostile',
  'deploy',
];

/** Starts the files that take long first, so that no worker runs one of them alone at the end. */
class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const index = LONG_FILES.findIndex((folder) => moduleId.includes(`/test/${folder}/`));
      return index === -1 ? LONG_FILES.length : index;
    };
    return (await super.sort(files)).sort((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  test: {
    include: TESTS[process.env['TESTS'] ?? ''] ?? ['test/**/*.test.ts'],
    // The fault tests take minutes, and run one after the other: `npm run chaos`.
    // The site needs its own packages and a browser: `npm run test:docs`.
    exclude: [
      ...(process.env['CHAOS_ROWS'] ? [] : ['test/faults/**']),
      ...(process.env['SITE_TESTS'] ? [] : ['test/site/site.test.ts']),
    ],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default'],
    pool: 'forks',
    // Loading the modules again for each file would take longer than most tests.
    isolate: false,
    // Most tests wait for timers, sockets or processes: six workers use three quarters of two cores.
    maxWorkers: 6,
    sequence: { sequencer: LongFilesFirst },
    // A test that hangs fails in the end. A test on a busy machine does not.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Vitest waits for 1 s, which is too short for a page that changes once a second, or for a busy machine.
    expect: { poll: { timeout: 10_000 } },
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: ['src/commands/**', 'src/main.ts'],
      reporter: ['text-summary', 'json-summary'],
      thresholds: { lines: 95 },
    },
  },
});
