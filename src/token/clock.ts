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

/** Resolves after `ms`. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(resolve, ms);
  });
}
