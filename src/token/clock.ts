export interface Timer {
  cancel(): void;
}

/** The only source of time, timers and randomness. Tests and simulations replace it. */
export interface Clock {
  /** Epoch ms. */
  now(): number;
  /** Uniform in [0, 1). Not for secrets. */
  random(): number;
  /** Calls `callback` once, at least `ms` later. */
  setTimer(callback: () => void, ms: number): Timer;
  /** Calls `callback` once, in the next turn of the event loop. */
  nextTurn(callback: () => void): void;
}

/**
 * The real time. A busy event loop runs timers before it reads sockets. So a timer waits two more turns of the loop: an
 * answer that has already arrived is read before its timeout fires.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  nextTurn: (callback) => void setImmediate(callback),
  setTimer(callback, ms) {
    let immediate: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => {
      immediate = setImmediate(() => {
        immediate = setImmediate(callback);
      });
    }, ms);
    return {
      cancel() {
        clearTimeout(timer);
        clearImmediate(immediate);
      },
    };
  },
};

/**
 * The time left until `until`, in ms; 0 if it has passed.
 * @param maxMs its length when it began. If more is left, the clock was set back since: it then counts as passed
 */
export function remainingMs(until: number, now: number, maxMs: number): number {
  return until > now && until - now <= maxMs ? until - now : 0;
}

/** Resolves after `ms`. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(resolve, ms);
  });
}

/** Every answer gets at least this long: a healthy store answers in less. */
const MIN_WAIT_MS = 20;

/** Resolves like `promise`, or to `undefined` after `ms`. The work behind `promise` continues either way. */
export function raceTimeout<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => resolve(undefined), ms);
    promise.then(
      (answer) => {
        timer.cancel();
        resolve(answer);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}

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
      return await raceTimeout(this.#clock, Math.max(MIN_WAIT_MS, this.#leftMs), answer);
    } finally {
      this.#leftMs -= Math.max(0, this.#clock.now() - startedAt);
    }
  }
}
