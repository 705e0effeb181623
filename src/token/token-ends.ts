const HOUR_MS = 3_600_000;
const HOURS = 24;

/** When tokens in use end: those that an app has read since their last renewal. */
export type TokenEnds = Readonly<Pick<EndsSearch, 'firstAt' | 'byHour' | 'isCut'>>;

/** Collects when tokens end. A token is due before it ends, so the search may stop at {@link isComplete}. */
export class EndsSearch {
  readonly #now: number;
  /** Epoch ms; `undefined` if no token is in use. */
  firstAt: number | undefined;
  /** How many end in each of the next 24 hours. */
  readonly byHour: number[] = Array.from({ length: HOURS }, () => 0);
  /**
   * Whether the search stopped before its end. Then `firstAt` may be too late, and the counts of `byHour` too small.
   */
  isCut = false;

  /** @param now epoch ms */
  constructor(now: number) {
    this.#now = now;
  }

  /** @param endAt of a token in use, epoch ms */
  add(endAt: number): void {
    this.firstAt = Math.min(this.firstAt ?? Number.POSITIVE_INFINITY, endAt);
    const hour = Math.floor((endAt - this.#now) / HOUR_MS);
    const ends = this.byHour[hour];
    if (ends !== undefined) this.byHour[hour] = ends + 1;
  }

  /** Whether a token that is due at `dueAt`, or later, changes nothing. */
  isComplete(dueAt: number): boolean {
    const { firstAt = Number.POSITIVE_INFINITY } = this;
    return dueAt >= Math.max(firstAt, this.#now + HOURS * HOUR_MS);
  }
}
