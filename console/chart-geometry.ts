/** A bar of a stacked chart, in the units of the viewBox. */
export interface Bar {
  readonly series: number;
  readonly at: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface ChartSize {
  readonly width: number;
  readonly height: number;
}

const GAP = 1;
/** A count that is not 0 stays visible beside large ones. */
const MIN_HEIGHT = 1.5;

/** The bars of a stacked chart: the first series is at the bottom. Counts of 0 have no bar. */
export function stackedBars(series: readonly (readonly number[])[], { width, height }: ChartSize): readonly Bar[] {
  const places = Math.max(0, ...series.map(({ length }) => length));
  const top = scaleTop(series);
  if (places === 0 || top === 0) return [];
  const step = width / places;
  return Array.from({ length: places }, (_, at) => {
    const counts = series.map((ofSeries) => ofSeries[at] ?? 0);
    let base = height;
    return heightsOf(counts, height / top, height).flatMap((tall, index) => {
      if (tall === 0) return [];
      base -= tall;
      return [
        { series: index, at, x: round(at * step), y: round(base), width: round(step - GAP), height: round(tall) },
      ];
    });
  }).flat();
}

/** The heights of the bars of one stack. The largest one gives up the room that the small ones need to be visible. */
function heightsOf(counts: readonly number[], unit: number, most: number): readonly number[] {
  const heights = counts.map((count) => (count > 0 ? Math.max(MIN_HEIGHT, count * unit) : 0));
  const excess = heights.reduce((sum, one) => sum + one, 0) - most;
  const largest = heights.indexOf(Math.max(...heights));
  return excess > 0 ? heights.map((one, index) => (index === largest ? one - excess : one)) : heights;
}

/** The value at the top of the scale: the largest sum, rounded up to 1, 2, 2.5 or 5 times a power of ten. */
export function scaleTop(series: readonly (readonly number[])[]): number {
  const places = Math.max(0, ...series.map(({ length }) => length));
  const sums = Array.from({ length: places }, (_, at) => series.reduce((sum, counts) => sum + (counts[at] ?? 0), 0));
  const largest = Math.max(0, ...sums);
  if (largest === 0) return 0;
  const power = 10 ** Math.floor(Math.log10(largest));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= largest) ?? 10;
  return Math.max(1, Math.ceil(factor * power));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
