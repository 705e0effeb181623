import { describe, expect, test } from 'vitest';
import { compare } from '../../../tools/bench/src/scenario.ts';
import { median, medianRatio } from '../../support/statistics.ts';

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
    expect(compare({ ...target, value: 2, is: '≥' }).met).toBe(true);
    expect(compare({ ...target, value: 2, is: '≤' }).met).toBe(true);
    expect(compare({ ...target, value: 1.999, is: '≥' }).met).toBe(false);
  });
});
