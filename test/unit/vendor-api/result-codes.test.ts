import { describe, expect, it } from 'vitest';
import type { ResultKind } from '../../../src/token/observer.ts';
import { KNOWN_RESULTS, resultKind } from '../../../src/vendor-api/answer.ts';
import { readFile, tableAfter } from '../../support/documents.ts';

const MEANINGS: readonly (readonly [code: number, ResultKind])[] = [
  [0, 'success'],
  [10001, 'request'],
  [10003, 'request'],
  [10016, 'request'],
  [10017, 'request'],
  [10020, 'request'],
  [10015, 'too_frequent'],
  [10901072, 'too_frequent'],
  [10901073, 'too_frequent'],
  [10901050, 'configuration'],
  [10901051, 'configuration'],
  [10901052, 'configuration'],
  [10901060, 'maintenance'],
  [10902013, 'account_closed'],
];

describe('a result code', () => {
  it.each<(typeof MEANINGS)[number]>([...MEANINGS, [1, 'unknown'], [-1, 'unknown'], [10901053, 'unknown']])(
    '%i means %s',
    (code, kind) => {
      expect(resultKind(code, 'msg')).toBe(kind);
      expect(resultKind(code, 'msg:-2')).toBe(kind);
    },
  );

  it.each([
    ['check sign failed:-2', 'clock_skew'],
    ['check sign failed: -2 ', 'clock_skew'],
    ['check sign failed:-1', 'configuration'],
    ['check sign failed:-3', 'configuration'],
    ['check sign failed:-22', 'configuration'],
    ['check sign failed:-2 at gateway', 'configuration'],
    ['check sign failed-2', 'configuration'],
    ['', 'configuration'],
  ])('10007 %j means %s', (msg, kind) => expect(resultKind(10007, msg)).toBe(kind));

  it('of the protocol is in this test, and in docs/vendor-login.md', () => {
    const known = new Set(KNOWN_RESULTS.keys());
    expect(new Set([10007, ...MEANINGS.map(([code]) => code)])).toEqual(known);
    const documented = tableAfter(readFile('docs/vendor-login.md'), '`code`').flatMap(
      ([cell]) => cell?.match(/\d{5,}/g) ?? [],
    );
    expect(new Set([0, ...documented.map(Number)])).toEqual(known);
  });
});
