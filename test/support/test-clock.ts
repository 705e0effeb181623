import { type Clock, systemClock, type Timer } from '../../src/token/clock.ts';

/** A clock that only moves when a test calls `advance` or `jump`. Its timers run in real time. */
export class TestClock implements Clock {
  #now = 1_800_000_000_000;
  #monotonic = 0;

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  random(): number {
    return 0.5;
  }

  nextTurn = systemClock.nextTurn;

  setTimer(callback: () => void, ms: number): Timer {
    return systemClock.setTimer(callback, ms);
  }

  /** Time passes. */
  advance(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }

  /** The wall clock is set. No time passes. */
  jump(ms: number): void {
    this.#now += ms;
  }
}
