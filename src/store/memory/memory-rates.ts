import { LRUCache } from 'lru-cache';
import type { Clock } from '../../token/clock.ts';
import { EMPTY_PACE, type Pace, type Place, reservePlace, type Urgency } from '../../token/login-pace.ts';
import type { LoginQueue, RateLimiter } from '../../token/ports.ts';

const NAMES = 100_000;

/** Rates kept in this process (GCRA): by name when the next one is due; and the queue of vendor logins. */
export class MemoryRates implements RateLimiter, LoginQueue {
  readonly #clock: Clock;
  readonly #due = new LRUCache<string, number>({ max: NAMES });

  #queue = EMPTY_PACE;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async take(name: string, intervalMs: number, burst: number): Promise<number> {
    const now = this.#clock.now();
    const noted = this.#due.get(name) ?? 0;
    // Nothing is due that far ahead: the clock has been set back.
    const due = noted > now + (burst + 1) * intervalMs ? now : Math.max(now, noted);
    const waitMs = due - (burst - 1) * intervalMs - now;
    if (waitMs > 0) return Math.ceil(waitMs);
    this.#due.set(name, due + intervalMs);
    return 0;
  }

  async reserve(pace: Pace, urgency: Urgency): Promise<Place> {
    const { place, state } = reservePlace(this.#queue, this.#clock.now(), pace, urgency);
    this.#queue = state;
    return place;
  }
}
