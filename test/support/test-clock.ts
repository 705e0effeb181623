import { type Clock, systemClock, type Timer } from '../../src/token/clock.ts';

/** A clock that only moves when a test calls `advance`. Its timers run in real time. */
export class TestClock implements Clock {
  #now = 1_800_000_000_000;

  now(): number {
    return this.#now;
  }

  random(): number {
    return 0.5;
  }

  nextTurn = systemClock.nextTurn;

  setTimer(callback: () => void, ms: number): Timer {
    return systemClock.setTimer(callback, ms);
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
