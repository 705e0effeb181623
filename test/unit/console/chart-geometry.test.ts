import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scaleTop, stackedBars } from '../../../console/chart-geometry.ts';

const SIZE = { width: 305, height: 60 };
const counts = fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 61 });

describe('the bars of a chart', () => {
  it('stack the series, the first one at the bottom', () => {
    expect(
      stackedBars(
        [
          [5, 0],
          [5, 10],
        ],
        { width: 20, height: 100 },
      ),
    ).toEqual([
      { series: 0, at: 0, x: 0, y: 50, width: 9, height: 50 },
      { series: 1, at: 0, x: 0, y: 0, width: 9, height: 50 },
      { series: 1, at: 1, x: 10, y: 0, width: 9, height: 100 },
    ]);
  });

  it('are none without an event', () => {
    expect(stackedBars([[0, 0], [0]], SIZE)).toEqual([]);
    expect(stackedBars([], SIZE)).toEqual([]);
  });

  it('stay inside the chart, and each count above 0 has a visible one', () => {
    fc.assert(
      fc.property(fc.array(counts, { maxLength: 4 }), (series) => {
        const bars = stackedBars(series, SIZE);
        expect(bars.length).toBe(series.flat().filter((count) => count > 0).length);
        for (const { x, y, width, height } of bars) {
          expect(x).toBeGreaterThanOrEqual(0);
          expect(x + width).toBeLessThanOrEqual(SIZE.width);
          expect(y).toBeGreaterThanOrEqual(0);
          expect(y + height).toBeLessThanOrEqual(SIZE.height + 0.02);
          expect(height).toBeGreaterThanOrEqual(1.5);
        }
      }),
      // Small counts above one that nearly fills the chart.
      { examples: [[[[984_917], [1], [1], [1]]]] },
    );
  });
});

describe('the top of the scale', () => {
  it.each([
    [[0], 0],
    [[1], 1],
    [[3], 5],
    [[11], 20],
    [[230], 250],
    [[999], 1_000],
  ])('for %j is %i', (series, top) => expect(scaleTop([series])).toBe(top));

  it('is at least the largest sum, and less than three times as much', () => {
    fc.assert(
      fc.property(counts, counts, (one, other) => {
        const sums = Array.from({ length: 61 }, (_, at) => (one[at] ?? 0) + (other[at] ?? 0));
        const largest = Math.max(...sums);
        expect(scaleTop([one, other])).toBeGreaterThanOrEqual(largest);
        expect(scaleTop([one, other])).toBeLessThan(Math.max(1, 3 * largest) + 1);
      }),
    );
  });
});
