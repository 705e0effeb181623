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
    let base = height;
    return series.flatMap((counts, index) => {
      const count = counts[at] ?? 0;
      if (count <= 0) return [];
      const tall = Math.min(base, Math.max(MIN_HEIGHT, (count / top) * height));
      base -= tall;
      return [
        { series: index, at, x: round(at * step), y: round(base), width: round(step - GAP), height: round(tall) },
      ];
    });
  }).flat();
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
