import type { Clock } from './clock.ts';
import { within } from './within.ts';

/** What is waited for an answer when all patience is spent: a store that is well answers in less. */
const LEAST_MS = 20;

/** Waits for an answer of the store, or gives up waiting. */
export interface Waiting {
  for<T>(answer: Promise<T>): Promise<T | undefined>;
}

/** Where nobody waits for the outcome. */
export const UNLIMITED: Waiting = { for: (answer) => answer };

/** How long may be waited for a store in all, over one answer after the other. */
export class Patience implements Waiting {
  readonly #clock: Clock;
  #leftMs: number;

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#leftMs = ms;
  }

  /** What `answer` comes to, or `undefined` where that takes longer than is left. It goes on either way. */
  async for<T>(answer: Promise<T>): Promise<T | undefined> {
    const askedAt = this.#clock.now();
    try {
      return await within(Math.max(LEAST_MS, this.#leftMs), answer);
    } finally {
      this.#leftMs -= Math.max(0, this.#clock.now() - askedAt);
    }
  }
}
