import { describe, expect, test } from 'vitest';
import { compare } from '../../../bench/src/comparison.ts';
import { readOptions } from '../../../bench/src/options.ts';
import { chart } from '../../../bench/src/report/chart.ts';
import { amount, scenarioTables } from '../../../bench/src/report/scenario-tables.ts';
import { textTable } from '../../../bench/src/report/text-table.ts';
import { median, medianRatio } from '../../../bench/src/statistics.ts';

const result = {
  figures: [
    { peer: 'bare', label: 'requests', unit: '/s', value: 40_000 },
    { peer: 'broker', label: 'requests', unit: '/s', value: 30_000 },
    { peer: 'broker', label: 'p99', unit: 'ms', value: 1.234 },
  ],
  comparisons: [compare({ claim: 'beside bare', value: 0.75, is: 'atLeast', bound: 0.9, unit: '×' })],
};

describe('the figures', () => {
  test('are medians, which one odd round does not move', () => {
    expect(median([3, 1, 1_000])).toBe(3);
    expect(median([1, 2, 3, 4])).toBe(2.5);
    expect(() => median([])).toThrow('nothing');
  });

  test('of a comparison are the ratios of each round', () => {
    expect(medianRatio([2, 40, 6], [1, 20, 6])).toBe(2);
  });

  test('say whether a target is met at its very bound', () => {
    const target = { claim: 'c', bound: 2, unit: '×' };
    expect(compare({ ...target, value: 2, is: 'atLeast' }).met).toBe(true);
    expect(compare({ ...target, value: 2, is: 'atMost' }).met).toBe(true);
    expect(compare({ ...target, value: 1.999, is: 'atLeast' }).met).toBe(false);
  });
});

describe('the report', () => {
  test('has a column for each peer, and a dash where it has no figure', () => {
    const { figures, comparisons } = scenarioTables(result);
    expect(figures).toEqual([
      ['', 'bare', 'broker'],
      ['requests (/s)', '40,000', '30,000'],
      ['p99 (ms)', '–', '1.23'],
    ]);
    expect(comparisons[1]).toEqual(['beside bare', '≥ 0.9 ×', '0.75 ×', '✗']);
  });

  test('shows three digits, or the whole', () => {
    expect([0.1234, 12.34, 123.4, 12_345.6, 1].map(amount)).toEqual(['0.12', '12.3', '123', '12,346', '1']);
  });

  test('draws a bar for each peer, as long as its share of the fastest', () => {
    const machine = {};
    const drawn = chart({ measuredAt: '', machine, rounds: 1, seconds: 1, scenarios: { warm: result } });
    const [bare, broker] = [...drawn.matchAll(/<rect class="\w+".* width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    expect((broker ?? 0) / (bare ?? 0)).toBeCloseTo(0.75);
  });

  test('has columns as wide as their widest cell', () => {
    expect(
      textTable([
        ['a', 'bcd'],
        ['long', 'e'],
      ]),
    ).toBe('a     bcd\nlong  e');
  });
});

describe('the options', () => {
  test('choose scenarios in their own order, and only a run without any is complete', () => {
    expect(readOptions(['cold', 'warm'])).toMatchObject({ scenarios: ['warm', 'cold'], complete: false });
    expect(readOptions(['--rounds', '1'])).toMatchObject({ rounds: 1, complete: false });
    expect(readOptions([])).toMatchObject({ complete: true });
  });

  test.each([['tepid'], ['--rounds', '0'], ['--seconds', 'x']])('refuse %s', (...args) => {
    expect(() => readOptions(args)).toThrow();
  });
});
