import type { Clock, Timer } from '../token/clock.ts';
import type { Totals } from './metrics.ts';

const MINUTE_MS = 60_000;
/** The minutes that are reported: the last 60, and the current one. */
const MINUTES = 61;

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
  /** The oldest first, one for each minute at most. */
  readonly #samples: Sample[] = [];
  #timer: Timer | undefined;
  #isStopped = false;

  /** @param totals the counters since the start of the process */
  constructor(clock: Clock, totals: () => Promise<Totals>) {
    this.#clock = clock;
    this.#totals = totals;
    this.#waitForNextMinute();
  }

  async series(): Promise<Readonly<Record<keyof Totals, MinuteSeries>>> {
    const now = await this.#totals();
    const first = this.#minute() - MINUTES + 1;
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

  /** The totals at the beginning of a minute; `undefined` before the first sample, when nothing was counted. */
  #before(minute: number): Totals | undefined {
    return this.#samples.findLast((sample) => sample.minute <= minute)?.totals;
  }

  #waitForNextMinute(): void {
    if (this.#isStopped) return;
    const ms = MINUTE_MS - (this.#clock.now() % MINUTE_MS);
    this.#timer = this.#clock.setTimer(() => void this.#sample(), ms);
  }

  async #sample(): Promise<void> {
    this.#samples.push({ minute: this.#minute(), totals: await this.#totals() });
    if (this.#samples.length > MINUTES + 1) this.#samples.shift();
    this.#waitForNextMinute();
  }

  #minute(): number {
    return Math.floor(this.#clock.now() / MINUTE_MS);
  }
}
