import { expect, test } from 'vitest';
import { noTracer } from '../../../src/token/tracer.ts';

test.each(['span', 'trace'] as const)('without tracing, a %s only runs the work and returns its result', (method) => {
  expect(noTracer[method]('work', () => 'result')).toBe('result');
});
