import type { Clock } from '../token/clock.ts';
import type { CheckSchedule } from './session-cache.ts';
import { sessionCheckUnavailable } from './session-server.ts';

/** A signature check takes 25 to 120 µs, so those of one turn delay other requests by about 1 ms. */
const MAX_PER_TURN = 8;
/** Checks that wait. They take less than a second. */
const MAX_WAITING = 4_096;

/**
 * Spreads the checks of sessions that this thread does by itself over the turns of the event loop. Many new sessions at
 * once then do not delay requests that need no check.
 */
export class CheckQueue implements CheckSchedule {
  readonly #clock: Clock;
  #doneInTurn = 0;
  /** In order. */
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Runs a check at once, or in a later turn if this turn has had its share.
   * @throws BrokerError `session_check_unavailable`, if too many checks wait
   */
  run<Result>(check: () => Result | Promise<Result>): Result | Promise<Result> {
    if (this.#doneInTurn < MAX_PER_TURN) {
      this.#countOne();
      return check();
    }
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(sessionCheckUnavailable(new Error('Too many sessions wait for their check')));
    }
    return new Promise<void>((resolve) => this.#waiting.push(resolve)).then(check);
  }

  #countOne(): void {
    if (this.#doneInTurn === 0) this.#clock.nextTurn(() => this.#startTurn());
    this.#doneInTurn += 1;
  }

  #startTurn(): void {
    this.#doneInTurn = 0;
    for (const start of this.#waiting.splice(0, MAX_PER_TURN)) {
      this.#countOne();
      start();
    }
  }
}
