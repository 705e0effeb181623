/** What is left out at the start: code that is not compiled yet. */
const WARM_UP_SHARE = 0.2;
/** More of them failed: the figures would say nothing. */
const FAILED_SHARE = 0.01;

export interface Drained {
  readonly perSecond: number;
  /** By the CPU time of the process: what one core it had to itself would do. */
  readonly perCoreSecond: number;
}

/** Measures `total` renewals, but for those that warm up. */
export class Drain {
  readonly done: Promise<Drained>;
  readonly #total: number;
  readonly #warmUp: number;
  #finish: (drained: Drained) => void = () => undefined;
  #renewed = 0;
  #failed = 0;
  #from = 0;
  #cpuFrom = process.cpuUsage();

  constructor(total: number) {
    this.#total = total;
    this.#warmUp = Math.floor(total * WARM_UP_SHARE);
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Another renewal is done. */
  count(): void {
    this.#renewed += 1;
    if (this.#renewed === this.#warmUp) {
      this.#from = performance.now();
      this.#cpuFrom = process.cpuUsage();
    }
    if (this.#renewed === this.#total) this.#finish(this.#measure());
  }

  /** One has failed, and is tried again. @throws Error when too many have */
  fail(error: unknown): void {
    this.#failed += 1;
    if (this.#failed > FAILED_SHARE * this.#total) throw new Error('too many renewals failed', { cause: error });
  }

  #measure(): Drained {
    const measured = this.#total - this.#warmUp;
    const { user, system } = process.cpuUsage(this.#cpuFrom);
    return {
      perSecond: (measured / (performance.now() - this.#from)) * 1_000,
      perCoreSecond: (measured / (user + system)) * 1_000_000,
    };
  }
}
