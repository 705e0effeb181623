import { expect, test } from 'vitest';
import { runbookOf } from '../../../src/token/findings.ts';

test.each([
  ['vendor_slow', 'docs/runbooks.md#sdktokenbrokervendorslow'],
  ['vendor_down', 'docs/runbooks.md#the-vendor-is-down'],
] as const)('the address of a runbook has the anchor of its heading: %s', (code, address) => {
  expect(runbookOf(code)).toBe(address);
});
