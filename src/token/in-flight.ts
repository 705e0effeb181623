const DELETIONS = 64;

/**
 * The calls that run now, by key, so that callers with the same key can share one.
 *
 * A Map links each table that it has outgrown to the next one. The tables of a Map with constant deletions reach the old
 * generation, and keep each other alive there with all results until a full garbage collection. So a new Map replaces it
 * from time to time. With one Map, a scavenge takes 3.2 ms instead of 2.5 ms (benchmark scenario `first`).
 */
export class InFlight<Key, Result> {
  #calls = new Map<Key, Promise<Result>>();
  #deletions = 0;

  get(key: Key): Promise<Result> | undefined {
    return this.#calls.get(key);
  }

  set(key: Key, call: Promise<Result>): void {
    this.#calls.set(key, call);
  }

  /** Must be called when the call has ended. */
  delete(key: Key): void {
    this.#calls.delete(key);
    this.#deletions += 1;
    if (this.#deletions < DELETIONS) return;
    this.#calls = new Map(this.#calls);
    this.#deletions = 0;
  }
}
