import { describe, expect, test } from 'vitest';
import { compare } from '../../../bench/src/figures.ts';
import { readOptions } from '../../../bench/src/options.ts';
import { summary } from '../../../bench/src/report/publish.ts';
import { formatValue, scenarioTables, textTable } from '../../../bench/src/report/tables.ts';
import { median, medianRatio } from '../../support/statistics.ts';

const result = {
  figures: [
    { peer: 'bare', label: 'requests', unit: '/s', value: 40_000 },
    { peer: 'broker', label: 'requests', unit: '/s', value: 30_000 },
    { peer: 'broker', label: 'p99', unit: 'ms', value: 1.234 },
  ],
  comparisons: [compare({ claim: 'relative to bare', value: 0.75, is: 'atLeast', bound: 0.9, unit: '×' })],
};

describe('the figures', () => {
  test('are medians, so one extreme round does not change them', () => {
    expect(median([3, 1, 1_000])).toBe(3);
    expect(median([1, 2, 3, 4])).toBe(2.5);
    expect(() => median([])).toThrow('no median');
  });

  test('of a comparison are the median of the ratios of each round', () => {
    expect(medianRatio([2, 40, 6], [1, 20, 6])).toBe(2);
  });

  test('meet a target that they exactly reach', () => {
    const target = { claim: 'c', bound: 2, unit: '×' };
    expect(compare({ ...target, value: 2, is: 'atLeast' }).met).toBe(true);
    expect(compare({ ...target, value: 2, is: 'atMost' }).met).toBe(true);
    expect(compare({ ...target, value: 1.999, is: 'atLeast' }).met).toBe(false);
  });
});

describe('the report', () => {
  test('has one column per peer, and a dash if a peer has no figure', () => {
    const { figures, comparisons } = scenarioTables(result);
    expect(figures).toEqual([
      ['', 'bare', 'broker'],
      ['requests (/s)', '40,000', '30,000'],
      ['p99 (ms)', '–', '1.23'],
    ]);
    expect(comparisons[1]).toEqual(['relative to bare', '≥ 0.9 ×', '0.75 ×', '✗']);
  });

  test('shows three significant digits, or a whole number from 100 on', () => {
    expect([0.1234, 12.34, 123.4, 12_345.6, 1].map(formatValue)).toEqual(['0.12', '12.3', '123', '12,346', '1']);
  });

  test('summarizes the requests with the p99 of each peer, the broker last, and every target', () => {
    const alone = { figures: [{ label: 'start to ready', unit: 'ms', value: 260 }], comparisons: [] };
    const scenarios = { first: { ...result, figures: result.figures.slice(1) }, warm: result, start: alone };
    const text = summary({
      measuredAt: '2026-11-28T02:08:47Z',
      machine: { Node: 'v24' },
      rounds: 9,
      seconds: 1,
      scenarios,
    });
    expect(text.split('\n').filter((line) => line !== '')).toEqual([
      'Measured on 2026-11-28, at least 9 rounds of 1 s: Node v24.',
      'Requests per second, with the p99 in ms:',
      '|  | bare | broker |',
      '| --- | --- | --- |',
      '| first | – | 30,000 (1.23) |',
      '| warm | 40,000 | 30,000 (1.23) |',
      'The targets:',
      '| the broker | target | measured |',
      '| --- | --- | --- |',
      '| first: relative to bare | ≥ 0.9 × | 0.75 × ✗ |',
      '| warm: relative to bare | ≥ 0.9 × | 0.75 × ✗ |',
    ]);
  });

  test('makes each column as wide as its widest cell', () => {
    expect(
      textTable([
        ['a', 'bcd'],
        ['long', 'e'],
      ]),
    ).toBe('a     bcd\nlong  e');
  });
});

describe('the options', () => {
  test('run scenarios in a fixed order, and only a run without arguments is complete', () => {
    expect(readOptions(['warm', 'first'])).toMatchObject({ scenarios: ['first', 'warm'], complete: false });
    expect(readOptions(['--rounds', '1'])).toMatchObject({ rounds: 1, complete: false });
    expect(readOptions([])).toMatchObject({ complete: true });
  });

  test.each([['tepid'], ['--rounds', '0'], ['--seconds', 'x']])('reject %s', (...args) => {
    expect(() => readOptions(args)).toThrow();
  });
});
