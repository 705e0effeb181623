import type { Clock, Timer } from '../token/clock.ts';
import { BrokerError, type ErrorCode } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import type { Totals } from './metrics.ts';

const MINUTE_MS = 60_000;
/** The current minute, and the 60 minutes before it. */
const MINUTES = 61;

/** Minutes since 1970. */
function minuteOf(clock: Clock): number {
  return Math.floor(clock.now() / MINUTE_MS);
}

interface Sample {
  /** Minutes since 1970. The totals are those at its beginning. */
  readonly minute: number;
  readonly totals: Totals;
}

/** Counts per minute by outcome, the oldest first. Outcomes without an event are missing. */
type MinuteSeries = Readonly<Record<string, readonly number[]>>;

/**
 * The events of the last hour, per minute. It reads the counters of the metrics once a minute, so an event costs nothing
 * more than its counter.
 */
export class LastHour {
  readonly #clock: Clock;
  readonly #totals: () => Promise<Totals>;
  /** The oldest first, one for each minute at most. There is always one. */
  #samples: readonly Sample[];
  #timer: Timer | undefined;
  #isStopped = false;

  /** @param totals the counters since the start of the process */
  constructor(clock: Clock, totals: () => Promise<Totals>) {
    this.#clock = clock;
    this.#totals = totals;
    const nothing = new Map();
    const none = { reads: nothing, renewals: nothing, logins: nothing, sessions: nothing };
    this.#samples = [{ minute: minuteOf(clock), totals: none }];
    this.#waitForNextMinute();
  }

  async series(): Promise<Readonly<Record<keyof Totals, MinuteSeries>>> {
    const now = await this.#totals();
    const first = minuteOf(this.#clock) - MINUTES + 1;
    // The totals at the beginning of each minute, and those of now.
    const bounds = [...Array.from({ length: MINUTES }, (_, at) => this.#before(first + at)), now];
    const seriesOf = (name: keyof Totals): MinuteSeries => {
      const outcomes = [...now[name].keys()].map((outcome) => {
        const totals = bounds.map((sample) => sample?.[name].get(outcome) ?? 0);
        return [outcome, totals.slice(1).map((total, at) => total - (totals[at] ?? 0))] as const;
      });
      return Object.fromEntries(outcomes.filter(([, counts]) => counts.some((count) => count > 0)));
    };
    return {
      reads: seriesOf('reads'),
      renewals: seriesOf('renewals'),
      logins: seriesOf('logins'),
      sessions: seriesOf('sessions'),
    };
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** The totals at the beginning of a minute; the oldest ones if it is not known. */
  #before(minute: number): Totals | undefined {
    return (this.#samples.findLast((sample) => sample.minute <= minute) ?? this.#samples[0])?.totals;
  }

  #waitForNextMinute(): void {
    if (this.#isStopped) return;
    const ms = MINUTE_MS - (this.#clock.now() % MINUTE_MS);
    this.#timer = this.#clock.setTimer(() => void this.#sample(), ms);
  }

  async #sample(): Promise<void> {
    const minute = minuteOf(this.#clock);
    // The others are from before the clock was set back.
    const samples = this.#samples.filter((sample) => sample.minute <= minute);
    // A timer of Node.js may fire up to 1 ms before the minute begins.
    if (samples.at(-1)?.minute !== minute) samples.push({ minute, totals: await this.#totals() });
    const oldest = samples.findLastIndex((sample) => sample.minute <= minute - MINUTES + 1);
    this.#samples = samples.slice(Math.max(0, oldest));
    this.#waitForNextMinute();
  }
}

/**
 * Counts events by kind and minute, for the last hour. Its memory is bounded: one small array per kind. It needs no
 * timer.
 */
export class MinuteCounts<Kind extends string> {
  readonly #clock: Clock;
  readonly #counts = new Map<Kind, Uint32Array>();
  /** The newest minute that has a slot: minutes since 1970, and {@link MinuteCounts.#setBack}. */
  #newest: number;
  /** Minutes by which the clock was set back. The slots continue as if it had not been. */
  #setBack = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#newest = minuteOf(clock);
  }

  add(kind: Kind): void {
    this.#clearNewSlots();
    const counts = this.#counts.get(kind) ?? new Uint32Array(MINUTES);
    this.#counts.set(kind, counts);
    const slot = this.#newest % MINUTES;
    counts[slot] = (counts[slot] ?? 0) + 1;
  }

  /**
   * Returns the counts of the last `minutes` whole minutes and of the current one, without zeros.
   * @param minutes at most 60
   */
  within(minutes: number): Readonly<Partial<Record<Kind, number>>> {
    this.#clearNewSlots();
    const slots = Array.from({ length: minutes + 1 }, (_, back) => (this.#newest - back) % MINUTES);
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

  #clearNewSlots(): void {
    // A clock that is corrected by less than a minute counts into the newest minute for so long.
    const lag = this.#newest - minuteOf(this.#clock) - this.#setBack;
    if (lag > 1) this.#setBack += lag;
    const now = minuteOf(this.#clock) + this.#setBack;
    for (let step = 0; this.#newest + step < now && step < MINUTES; step += 1) {
      for (const counts of this.#counts.values()) counts[(now - step) % MINUTES] = 0;
    }
    this.#newest = Math.max(this.#newest, now);
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
