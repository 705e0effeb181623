/** @throws Error if there are no values */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  if (low === undefined || high === undefined) throw new Error('an empty list has no median');
  return (low + high) / 2;
}

/** Divides the values of each round, and returns the median of these ratios. */
export function medianRatio(values: readonly number[], others: readonly number[]): number {
  return median(values.map((value, round) => value / (others[round] ?? Number.NaN)));
}

/** The value at this share of the sorted values: 0.99 for the 99th percentile. NaN if there are no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = ascending(values);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The largest number of these instants (epoch ms) that lie within so many seconds. */
export function mostWithin(seconds: number, instants: readonly number[]): number {
  const sorted = ascending(instants);
  const numberFrom = (from: number) => sorted.filter((at) => at >= from && at < from + 1_000 * seconds).length;
  return Math.max(0, ...sorted.map(numberFrom));
}

function ascending(values: readonly number[]): number[] {
  return values.toSorted((one, other) => one - other);
}
