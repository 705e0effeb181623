import type { Clock } from '../token/clock.ts';
import type { CheckSchedule } from './session-cache.ts';

/** A signature check takes 25 to 120 µs, so those of one turn delay other requests by less than 1 ms. */
const MAX_PER_TURN = 8;

/**
 * Spreads the checks of sessions that this thread does by itself over the turns of the event loop. Many new sessions at
 * once then do not delay requests that need no check.
 */
export class CheckQueue implements CheckSchedule {
  readonly #clock: Clock;
  #doneInTurn = 0;
  /** In order. Each connection waits for one check at most, so the bound of the connections is its bound. */
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs a check at once, or in a later turn if this turn has had its share. */
  run<Result>(check: () => Result | Promise<Result>): Result | Promise<Result> {
    if (this.#doneInTurn < MAX_PER_TURN) {
      this.#countOne();
      return check();
    }
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        this.#countOne();
        resolve(check());
      });
    });
  }

  #countOne(): void {
    if (this.#doneInTurn === 0) this.#clock.nextTurn(() => this.#startTurn());
    this.#doneInTurn += 1;
  }

  #startTurn(): void {
    this.#doneInTurn = 0;
    for (const start of this.#waiting.splice(0, MAX_PER_TURN)) start();
  }
}
