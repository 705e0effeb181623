import { Counter, Histogram, type Registry } from 'prom-client';
import { BrokerError, type ErrorCode } from '../token/errors.ts';

/** What is counted for what was thrown: the code a caller is told. */
export function errorCodeOf(error: unknown): ErrorCode {
  return error instanceof BrokerError ? error.code : 'internal';
}

export interface TalliedHistogramOptions {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
  /** The buckets' upper bounds, ascending. */
  readonly buckets: readonly number[];
}

/** A histogram without labels for where things happen often: it keeps plain numbers, which are read when somebody asks. */
export class TalliedHistogram extends Histogram {
  readonly #options: TalliedHistogramOptions;
  /** By bucket, the last one without a bound. */
  readonly #counts: number[];
  #sum = 0;

  constructor(options: TalliedHistogramOptions) {
    const { registry, name, help, buckets } = options;
    super({ registers: [registry], name, help, buckets: [...buckets] });
    this.#options = options;
    this.#counts = Array<number>(buckets.length + 1).fill(0);
  }

  add(value: number): void {
    const { buckets } = this.#options;
    let bucket = 0;
    while (value > (buckets[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** What the registry, and `get`, read a histogram by; the library's types leave it out. */
  async getForPromString() {
    const { name, help, buckets } = this.#options;
    let count = 0;
    const values = this.#counts.map((inBucket, index) => {
      count += inBucket;
      return sample(`${name}_bucket`, count, { le: buckets[index] ?? '+Inf' });
    });
    values.push(sample(`${name}_sum`, this.#sum), sample(`${name}_count`, count));
    return { name, help, type: 'histogram', aggregator: 'sum', values };
  }
}

function sample(metricName: string, value: number, labels: { le?: number | string } = {}) {
  return { metricName, value, labels, sharedLabels: {} };
}

export interface TallyOptions<Value extends string> {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
  readonly label: string;
  /** Shown from the start, with 0; others once they were counted. */
  readonly values: readonly Value[];
}

/** A counter with one label for where things happen often: it keeps plain numbers, which are read when somebody asks. */
export class Tally<Value extends string> {
  readonly #counts: Map<Value, { count: number }>;

  constructor({ registry, name, help, label, values }: TallyOptions<Value>) {
    const counts = new Map(values.map((value) => [value, { count: 0 }]));
    this.#counts = counts;
    new Counter({
      registers: [registry],
      name,
      help,
      labelNames: [label],
      collect() {
        this.reset();
        for (const [value, { count }] of counts) this.inc({ [label]: value }, count);
      },
    });
  }

  add(value: Value): void {
    const counted = this.#counts.get(value);
    if (counted) counted.count += 1;
    else this.#counts.set(value, { count: 1 });
  }
}
