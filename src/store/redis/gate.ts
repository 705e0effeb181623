import type { Clock } from '../../token/clock.ts';

/** How long nothing is sent after a command went unanswered; then one finds out. */
const CLOSED_MS = 500;

/**
 * Spares requests the wait for a Redis that hangs: once a command has timed out, the others fail at once until one gets
 * through again.
 */
export class Gate {
  readonly #clock: Clock;
  #closedUntil = 0;
  #probing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a command may be sent now. Who was let through while it is not well reports with {@link settle}. */
  admit(): boolean {
    if (this.#closedUntil === 0) return true;
    if (this.#probing || this.#clock.now() < this.#closedUntil) return false;
    this.#probing = true;
    return true;
  }

  settle(outcome: 'answered' | 'unanswered'): void {
    this.#probing = false;
    this.#closedUntil = outcome === 'answered' ? 0 : this.#clock.now() + CLOSED_MS;
  }
}
