import { type Clock, systemClock } from '../../../src/token/clock.ts';

export interface SettableClock extends Clock {
  /** Epoch ms. */
  time: number;
}

export function settableClock(time: number): SettableClock {
  return {
    ...systemClock,
    time,
    now() {
      return this.time;
    },
    random: () => 0.5,
  };
}
