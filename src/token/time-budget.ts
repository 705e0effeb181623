import type { Clock } from './clock.ts';

/**
 * What `promise` comes to, or `otherwise` once `ms` are over. The promise goes on either way. A busy event loop runs its
 * timers before it reads what has arrived: it is given the chance to read first, or its own slowness would look like
 * others'.
 */
export function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined>;
export function within<T, Late>(ms: number, promise: Promise<T>, otherwise: Late): Promise<T | Late>;
export function within<T, Late>(ms: number, promise: Promise<T>, otherwise?: Late): Promise<T | Late | undefined> {
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
