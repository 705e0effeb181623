import type { Clock } from '../token/clock.ts';
import type { CheckSchedule } from './session-cache.ts';
import { sessionCheckUnavailable } from './session-server.ts';

/** Questions to the session server at the same time. */
const MAX_IN_FLIGHT = 64;
/** Of these, this many are only for sessions that were accepted before. */
const RESERVED_FOR_KNOWN = 16;
/** Questions that wait, of known and of unknown sessions each. */
const MAX_WAITING = 1_000;
/** How long a question waits for its turn. The answer may take 3 s more. */
const MAX_WAIT_MS = 2_000;

/**
 * Limits the questions to the session server, so that made-up sessions do not overload it. Questions about known
 * sessions have places of their own, and go first.
 */
export class QuestionQueue implements CheckSchedule {
  readonly #clock: Clock;
  #inFlight = 0;
  /** The waiting questions, in order. Each function starts one of them. */
  readonly #known = new Set<() => void>();
  readonly #unknown = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Asks the question when it is its turn.
   * @throws BrokerError `session_check_unavailable`, if its turn does not come in time
   */
  async run<Answer>(question: () => Answer | Promise<Answer>, isKnown: boolean): Promise<Answer> {
    if (this.#hasPlace(isKnown)) this.#inFlight += 1;
    else await this.#waitForPlace(isKnown ? this.#known : this.#unknown);
    try {
      return await question();
    } finally {
      // A question that starts in this turn of the event loop would open another connection.
      this.#clock.setTimer(() => {
        this.#inFlight -= 1;
        this.#startNext();
      }, 0);
    }
  }

  #hasPlace(isKnown: boolean): boolean {
    return this.#inFlight < (isKnown ? MAX_IN_FLIGHT : MAX_IN_FLIGHT - RESERVED_FOR_KNOWN);
  }

  async #waitForPlace(waiting: Set<() => void>): Promise<void> {
    if (waiting.size >= MAX_WAITING) throw sessionCheckUnavailable(new Error('Too many questions wait'));
    await new Promise<void>((resolve, reject) => {
      const timer = this.#clock.setTimer(() => {
        waiting.delete(start);
        reject(sessionCheckUnavailable(new Error(`A question waited for ${MAX_WAIT_MS} ms`)));
      }, MAX_WAIT_MS);
      const start = () => {
        waiting.delete(start);
        timer.cancel();
        this.#inFlight += 1;
        resolve();
      };
      waiting.add(start);
    });
  }

  #startNext(): void {
    const [known] = this.#known;
    const [unknown] = this.#unknown;
    if (known) known();
    else if (unknown && this.#hasPlace(false)) unknown();
  }
}
