export interface Timer {
  cancel(): void;
}

/** The only source of time, timers and randomness. Tests and simulations replace it. */
export interface Clock {
  /** The wall clock, epoch ms. It may jump, so it is only for times that others write down or read. */
  now(): number;
  /** Ms since any moment, for durations. It never jumps or goes back. */
  monotonic(): number;
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
  monotonic: () => performance.now(),
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

/** Resolves after `ms`. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(resolve, ms);
  });
}

/** A timeout runs in this many equal parts, one after the other: a standstill of this process counts as one at most. */
export const TIMEOUT_PARTS = 4;

/** Calls `callback` after `ms` in which the event loop has run. See {@link TIMEOUT_PARTS}. */
export class Timeout implements Timer {
  readonly #clock: Clock;
  readonly #partMs: number;
  #ended = 0;
  #partBeganAt = 0;
  #timer: Timer;

  constructor(clock: Clock, callback: () => void, ms: number) {
    this.#clock = clock;
    this.#partMs = ms / TIMEOUT_PARTS;
    this.#timer = this.#startPart(callback);
  }

  #startPart(callback: () => void): Timer {
    this.#partBeganAt = this.#clock.monotonic();
    return this.#clock.setTimer(() => {
      this.#ended += 1;
      if (this.isOver) callback();
      else this.#timer = this.#startPart(callback);
    }, this.#partMs);
  }

  /** Whether `callback` was called. */
  get isOver(): boolean {
    return this.#ended === TIMEOUT_PARTS;
  }

  /** The ms that have been counted so far. */
  get countedMs(): number {
    const inPartMs = this.isOver ? 0 : Math.min(this.#partMs, this.#clock.monotonic() - this.#partBeganAt);
    return this.#ended * this.#partMs + inPartMs;
  }

  cancel(): void {
    this.#timer.cancel();
  }
}

/** Resolves to `undefined` after `ms` of a running event loop; the work continues. @param onEnd gets the counted ms */
export function withTimeout<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  onEnd?: (countedMs: number) => void,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    let hasEnded = false;
    const end = (settle: () => void): void => {
      if (hasEnded) return;
      hasEnded = true;
      timeout.cancel();
      onEnd?.(timeout.countedMs);
      settle();
    };
    const timeout = new Timeout(clock, () => end(() => resolve(undefined)), ms);
    promise.then(
      (answer) => end(() => resolve(answer)),
      (error: unknown) => end(() => reject(error)),
    );
  });
}

/** Every answer gets at least this long: a healthy store answers in less. */
const MIN_WAIT_MS = 20;

/** A timeout for several answers of the store together. */
export class StoreTimeout {
  readonly #clock: Clock;
  #leftMs: number;

  /** @param ms how long all answers may take in total */
  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#leftMs = ms;
  }

  /** Resolves to `undefined` when no time is left; the work behind `answer` continues. */
  wait<T>(answer: Promise<T>): Promise<T | undefined> {
    return withTimeout(this.#clock, Math.max(MIN_WAIT_MS, this.#leftMs), answer, (countedMs) => {
      this.#leftMs -= countedMs;
    });
  }
}
