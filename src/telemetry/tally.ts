import { Counter, type Registry } from 'prom-client';

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
