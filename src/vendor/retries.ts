import type { Clock } from '../token/clock.ts';
import { isLost, isOutage, type VendorFault } from './fault.ts';

const MOST_ATTEMPTS = 3;
const FIRST_DELAY_MS = 250;
/** Less time than this is not worth an attempt. */
export const SHORTEST_ATTEMPT_MS = 100;

/**
 * Which faults of one login are worth another attempt, and when: only passing ones, at most three attempts, with full
 * jitter, within the login's budget of time. Where the answer was lost the login may have succeeded, so that is tried
 * again once at most; so is a timestamp the vendor refused, by its own clock.
 */
export class Retries {
  readonly #clock: Clock;
  readonly #deadline: number;
  #attempts = 0;
  #lost = 0;
  #resigned = false;

  /** @param deadline epoch ms at which the login's budget of time is spent */
  constructor(clock: Clock, deadline: number) {
    this.#clock = clock;
    this.#deadline = deadline;
  }

  /** Ms after which to try again; `undefined`: this fault is final. */
  after({ kind, facts }: VendorFault): number | undefined {
    this.#attempts += 1;
    if (this.#attempts >= MOST_ATTEMPTS) return undefined;
    if (kind === 'clock_skew') return this.#once();
    if (!isOutage(kind)) return undefined;
    if (isLost(kind) && ++this.#lost > 1) return undefined;
    const askedMs = (facts.retryAfter ?? 0) * 1_000;
    // On top of it: whoever is asked to wait as long must not come back in step.
    const delayMs = askedMs + this.#clock.random() * FIRST_DELAY_MS * 2 ** (this.#attempts - 1);
    return this.#clock.now() + delayMs + SHORTEST_ATTEMPT_MS < this.#deadline ? delayMs : undefined;
  }

  #once(): number | undefined {
    if (this.#resigned) return undefined;
    this.#resigned = true;
    return 0;
  }
}
