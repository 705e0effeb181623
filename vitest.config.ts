import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // The fault tests take minutes, and run one after the other: `npm run chaos`.
    // The site needs its own packages and a browser: `npm run test:docs`.
    // The Spring example needs Maven and a JDK: `npm run test:examples`.
    exclude: [
      ...(process.env['CHAOS_ROWS'] ? [] : ['test/faults/**']),
      ...(process.env['SITE_TESTS'] ? [] : ['test/site/site.test.ts']),
      ...(process.env['MAVEN_EXAMPLES'] ? [] : ['test/examples/cloud-spring.test.ts']),
    ],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
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
