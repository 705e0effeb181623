import { describe, expect, test } from 'vitest';
import { EndsSearch } from '../../../src/token/token-ends.ts';

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const NONE = Array.from({ length: 24 }, () => 0);

function searchFor(...ends: readonly number[]): EndsSearch {
  const search = new EndsSearch(NOW);
  for (const afterMs of ends) search.add(NOW + afterMs);
  return search;
}

describe('a search for the ends of tokens', () => {
  test.each([
    ['that ended before', -1, undefined],
    ['that ends now', 0, 0],
    ['of the first hour', HOUR_MS - 1, 0],
    ['of the second hour', HOUR_MS, 1],
    ['of the last hour', 24 * HOUR_MS - 1, 23],
    ['that ends in a day', 24 * HOUR_MS, undefined],
  ])('counts a token in its hour of the next 24: one %s', (_, afterMs, hour) => {
    const { byHour } = searchFor(afterMs, afterMs);
    expect(byHour).toStrictEqual(NONE.map((none, at) => (at === hour ? 2 : none)));
  });

  test('tells the first end, and that the search was not cut', () => {
    expect(searchFor()).toMatchObject({ firstAt: undefined, isCut: false });
    expect(searchFor(3 * HOUR_MS, HOUR_MS, 2 * HOUR_MS).firstAt).toBe(NOW + HOUR_MS);
  });

  test.each([
    ['no end is known', [], 1_000, false],
    ['it may end within a day', [1], 24 * HOUR_MS - 1, false],
    ['it ends after a day', [1], 24 * HOUR_MS, true],
    ['it may be the first to end', [48 * HOUR_MS], 48 * HOUR_MS - 1, false],
    ['it ends after the first', [48 * HOUR_MS], 48 * HOUR_MS, true],
  ])('is complete at a due token that changes nothing: %s', (_, ends, dueInMs, expected) => {
    expect(searchFor(...ends).isComplete(NOW + dueInMs)).toBe(expected);
  });
});
