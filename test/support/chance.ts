import { seededRandom } from './seeded-random.ts';

/** Choices that depend only on the seed. */
export class Chance {
  /** Uniform in [0, 1). */
  readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** A choice of its own for a part of the run: what one part draws does not change what another part draws. */
  fork(): Chance {
    return new Chance(this.whole(0, 2 ** 31 - 1));
  }

  /** Uniform between `from` and `to`. */
  between(from: number, to: number): number {
    return from + this.random() * (to - from);
  }

  /** A whole number between `from` and `to`, both included. */
  whole(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1));
  }

  /** Exponential, as the time between independent events. At most five times the mean. */
  exponential(mean: number): number {
    return Math.min(5 * mean, -mean * Math.log(1 - this.random()));
  }

  happens(probability: number): boolean {
    return this.random() < probability;
  }

  pick<T>(values: readonly [T, ...T[]]): T {
    return values[this.whole(0, values.length - 1)] ?? values[0];
  }

  /** Picks a name in proportion to its weight. */
  weighted<Name extends string>(weights: Readonly<Partial<Record<Name, number>>>): Name {
    const entries = Object.entries(weights) as [Name, number][];
    let left = this.between(
      0,
      entries.reduce((sum, [, weight]) => sum + weight, 0),
    );
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    throw new RangeError('there is nothing to pick from');
  }
}
