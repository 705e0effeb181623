import type { Clock } from '../../src/token/clock.ts';

/** A clock that goes only when it is told to. */
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
