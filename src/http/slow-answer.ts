import type { Clock } from '../token/clock.ts';

/**
 * An answer of the store that costs much and changes slowly. It is asked for once in a time, by all callers together. A
 * caller waits only if the last answer is much too old.
 */
export class SlowAnswer<Answer> {
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #ask: () => Promise<Answer>;
  #asking: Promise<Answer> | undefined;
  #newest: { readonly askedAt: number; readonly answer: Answer } | undefined;

  /** @param maxAgeMs how old an answer may be. Of twice that age it is of no use */
  constructor(clock: Clock, maxAgeMs: number, ask: () => Promise<Answer>) {
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
    this.#ask = ask;
  }

  /** @throws the error of `ask`, if the last answer is of no use */
  async get(): Promise<Answer> {
    const askedAt = this.#clock.monotonic();
    const ageMs = askedAt - (this.#newest?.askedAt ?? Number.NEGATIVE_INFINITY);
    if (this.#newest && ageMs < this.#maxAgeMs) return this.#newest.answer;
    this.#asking ??= this.#ask()
      .then((answer) => {
        this.#newest = { askedAt, answer };
        return answer;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    if (!this.#newest || ageMs >= 2 * this.#maxAgeMs) return this.#asking;
    // The next report has the new answer.
    this.#asking.catch(() => undefined);
    return this.#newest.answer;
  }
}
