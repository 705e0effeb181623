import { expect, it } from 'vitest';
import { readRetryAfter } from '../../../src/vendor-api/answer.ts';

const NOW = Date.UTC(2026, 0, 1);

it.each([
  [undefined, undefined],
  ['', undefined],
  ['soon', undefined],
  ['-5', 0],
  ['1.5', 0],
  ['0', 0],
  ['7', 7],
  ['3600', 3600],
  ['3601', 3600],
  ['9'.repeat(400), 3600],
  ['Thu, 01 Jan 2026 00:00:30 GMT', 30],
  ['Thu, 01 Jan 2026 09:00:00 GMT', 3600],
  ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
])('Retry-After %j is read as %j seconds', (value, seconds) => expect(readRetryAfter(value, NOW)).toBe(seconds));
