import { type Clock, systemClock } from '../../src/token/clock.ts';

/** 2027-01-15T08:00:00Z */
export const START_MS = 1_800_000_000_000;

/** A clock that only moves when a test says so. Its timers run in real time. */
export class TestClock implements Clock {
  #jumpedMs = 0;
  #passedMs = 0;

  now(): number {
    return START_MS + this.#passedMs + this.#jumpedMs;
  }

  monotonic(): number {
    return this.#passedMs;
  }

  random(): number {
    return 0.5;
  }

  nextTurn = systemClock.nextTurn;

  setTimer = systemClock.setTimer;

  /** The clock of another machine: time passes there too, but nobody sets it. */
  readonly elsewhere: Clock = {
    ...systemClock,
    now: () => START_MS + this.#passedMs,
    monotonic: () => this.#passedMs,
  };

  /** Time passes. */
  advance(ms: number): void {
    this.#passedMs += ms;
  }

  /** It is now `ms` after the start, apart from jumps. */
  moveTo(ms: number): void {
    this.#passedMs = ms;
  }

  /** The wall clock is set. No time passes. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
  }
}
