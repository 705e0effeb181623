/** A wait that can be cut short. */
export class Pause {
  #end: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** On the clock of `performance.now()`. */
  #endsAt = 0;

  /** Resolves after `ms`, or when it is ended or shortened. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#end = resolve;
      this.#endIn(ms);
    });
  }

  end(): void {
    this.shortenTo(0);
  }

  /** Lets the wait last no longer than `ms` from now. */
  shortenTo(ms: number): void {
    if (this.#end && this.#endsAt > performance.now() + ms) this.#endIn(ms);
  }

  #endIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#endsAt = performance.now() + ms;
    this.#timer = setTimeout(() => {
      this.#end?.();
      this.#end = undefined;
    }, ms);
  }
}
