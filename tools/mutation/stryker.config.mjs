import { fileURLToPath } from 'node:url';

const { MUTATE_FOLDER } = process.env;

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  plugins: ['@stryker-mutator/vitest-runner', fileURLToPath(new URL('ignored-texts.mjs', import.meta.url))],
  testRunner: 'vitest',
  // Without this, Stryker leaves out test files that do not import the mutated file.
  vitest: { configFile: 'tools/mutation/vitest.config.ts', related: false },
  coverageAnalysis: 'perTest',
  // Static mutants are in constants that are built when a file is loaded. Each of them would run all tests.
  ignoreStatic: true,
  ignorers: ['texts'],
  concurrency: 2,
  // Generous: on a busy machine, a slow start must not count as a mutant that was found.
  timeoutMS: 60_000,
  disableTypeChecks: false,
  // No file: Stryker would adapt the paths in tsconfig.json with an interface that TypeScript 7 does not have.
  tsconfigFile: 'none',
  tempDirName: 'tools/mutation/.stryker-tmp',
  ignorePatterns: ['/tools/bench', '/clients', '/coverage', '/deploy', '/dist', '/tools/mutation/reports'],
  reporters: ['clear-text', 'json', 'progress-append-only'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: `tools/mutation/reports/${MUTATE_FOLDER}.json` },
  incrementalFile: `tools/mutation/reports/${MUTATE_FOLDER}-incremental.json`,
};
