import type { Clock } from '../../src/token/clock.ts';

/** A clock that only moves when a test calls `advance`. */
export class TestClock implements Clock {
  #now = 1_800_000_000_000;

  now(): number {
    return this.#now;
  }

  random(): number {
    return 0.5;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
