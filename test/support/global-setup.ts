import { rmSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { newFolder } from './new-folder.ts';
import { startRedis } from './redis-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of a Redis that all tests share. Each test uses its own key prefix and never flushes. */
    redisUrl: string;
  }
}

/**
 * Uses the Redis at TEST_REDIS_URL, or else starts one Redis for all test files. All files for the time of the run are
 * in one folder.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = newFolder();
  process.env['TMPDIR'] = folder;
  const given = process.env['TEST_REDIS_URL'];
  const redis = given ? undefined : await startRedis();
  project.provide('redisUrl', given || (redis?.url ?? ''));
  return async () => {
    await redis?.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
}
