import type { Clock } from '../token/clock.ts';
import { BrokerError, type ErrorCode } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';

const MINUTE_MS = 60_000;
/** The current minute, and the 60 minutes before it. */
const SLOTS = 61;

/**
 * Counts events by kind and minute, for the last hour. Its memory is bounded: one small array per kind. It needs no
 * timer.
 */
export class MinuteCounts<Kind extends string> {
  readonly #clock: Clock;
  readonly #counts = new Map<Kind, Uint32Array>();
  /** The newest minute that has a slot: minutes since 1970. */
  #newest: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#newest = this.#minute();
  }

  add(kind: Kind): void {
    this.#clearNewSlots();
    const counts = this.#counts.get(kind) ?? new Uint32Array(SLOTS);
    this.#counts.set(kind, counts);
    const slot = this.#newest % SLOTS;
    counts[slot] = (counts[slot] ?? 0) + 1;
  }

  /**
   * Returns the counts of the last `minutes` whole minutes and of the current one, without zeros.
   * @param minutes at most 60
   */
  within(minutes: number): Readonly<Partial<Record<Kind, number>>> {
    this.#clearNewSlots();
    const slots = Array.from({ length: minutes + 1 }, (_, back) => (this.#newest - back) % SLOTS);
    const sums = [...this.#counts].map(([kind, counts]) => {
      return [kind, slots.reduce((sum, slot) => sum + (counts[slot] ?? 0), 0)] as const;
    });
    return Object.fromEntries(sums.filter(([, count]) => count > 0)) as Partial<Record<Kind, number>>;
  }

  /** The mean number of events of a kind per second, over the last whole minute and the current one. */
  perSecond(kind: Kind): number {
    const seconds = (MINUTE_MS + (this.#clock.now() % MINUTE_MS)) / 1_000;
    return (this.within(1)[kind] ?? 0) / seconds;
  }

  /** If the clock was set back, events count into the newest minute. */
  #clearNewSlots(): void {
    const now = this.#minute();
    for (let step = 0; this.#newest + step < now && step < SLOTS; step += 1) {
      for (const counts of this.#counts.values()) counts[(now - step) % SLOTS] = 0;
    }
    this.#newest = Math.max(this.#newest, now);
  }

  #minute(): number {
    return Math.floor(this.#clock.now() / MINUTE_MS);
  }
}

/** What a replica counts by minute, for its status. */
export interface CountsByMinute {
  readonly failedRequests: MinuteCounts<ErrorCode>;
  /** Failed background renewals. */
  readonly failedRenewals: MinuteCounts<ErrorCode>;
  readonly loginsSent: MinuteCounts<'login'>;
}

export function countsByMinute(clock: Clock): CountsByMinute {
  return {
    failedRequests: new MinuteCounts(clock),
    failedRenewals: new MinuteCounts(clock),
    loginsSent: new MinuteCounts(clock),
  };
}

/** Returns `observer`, which then also counts in `counts`. */
export function countingObserver(observer: Observer, { failedRenewals, loginsSent }: CountsByMinute): Observer {
  return {
    ...observer,
    renewalFailed(cause, error) {
      observer.renewalFailed(cause, error);
      if (cause === 'background') failedRenewals.add(error instanceof BrokerError ? error.code : 'internal');
    },
    loginSent() {
      observer.loginSent();
      loginsSent.add('login');
    },
  };
}
