import { systemBinary } from './system-binary.ts';

/**
 * Where `redis-server` is: on the PATH, else installed now through the system's package manager where this user may.
 * @throws Error that says what to do
 */
export function redisBinary(): string {
  return systemBinary({
    program: 'redis-server',
    packages: { apk: 'redis', dnf: 'redis', brew: 'redis' },
    need: 'The tests need a real Redis',
    instead:
      'Or set TEST_REDIS_URL to a running one; the tests that stop and restart a Redis need redis-server in any case.',
  });
}
