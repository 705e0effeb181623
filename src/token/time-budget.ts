import type { Clock } from './clock.ts';

/**
 * Resolves like `promise`, or to `otherwise` after `ms`. The work behind `promise` continues either way. A busy event
 * loop runs timers before it reads sockets. So the timeout waits two more turns: an answer that has already arrived wins.
 */
export function raceTimeout<T>(ms: number, promise: Promise<T>): Promise<T | undefined>;
export function raceTimeout<T, Late>(ms: number, promise: Promise<T>, otherwise: Late): Promise<T | Late>;
export function raceTimeout<T, Late>(ms: number, promise: Promise<T>, otherwise?: Late): Promise<T | Late | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => setImmediate(resolve, otherwise)), ms);
    promise.then(
      (answer) => {
        clearTimeout(timer);
        resolve(answer);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Every answer gets at least this long: a healthy store answers in less. */
const MIN_WAIT_MS = 20;

/** A limit on how long a caller waits in total, over several answers of the store. */
export class TimeBudget {
  readonly #clock: Clock;
  #leftMs: number;

  /** @param ms the whole budget; `Infinity`: no limit */
  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#leftMs = ms;
  }

  /**
   * Waits for `answer` and takes the time from the budget. Resolves to `undefined` when the budget runs out first;
   * the work behind `answer` continues.
   */
  async wait<T>(answer: Promise<T>): Promise<T | undefined> {
    if (this.#leftMs === Number.POSITIVE_INFINITY) return answer;
    const startedAt = this.#clock.now();
    try {
      return await raceTimeout(Math.max(MIN_WAIT_MS, this.#leftMs), answer);
    } finally {
      this.#leftMs -= Math.max(0, this.#clock.now() - startedAt);
    }
  }
}
