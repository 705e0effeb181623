const INTERVAL_MS = 1_000;

/** Writes a line. @param omitted the number of earlier events of the same kind that got no line of their own */
type Write = (omitted: number) => void;

interface Interval {
  readonly timer: NodeJS.Timeout;
  /** Writes the latest event since the interval began. */
  latest: Write | undefined;
  /** Events since the interval began. */
  count: number;
}

/**
 * Logs the first event of a kind at once, and then at most one per kind and second: the latest one, with the number of
 * those that it stands for. So a client cannot fill the log.
 */
export class LogSampler<Kind> {
  /** The running interval of each kind. It began with a line. */
  readonly #intervals = new Map<Kind, Interval>();

  /** Number of kinds that had a line within the last second. */
  get size(): number {
    return this.#intervals.size;
  }

  /** Whether the kind had a line within the last second. */
  has(kind: Kind): boolean {
    return this.#intervals.has(kind);
  }

  add(kind: Kind, write: Write): void {
    const interval = this.#intervals.get(kind);
    if (!interval) {
      this.#write(kind, write, 0);
      return;
    }
    interval.latest = write;
    interval.count += 1;
  }

  /** Writes the events that wait for the end of an interval. */
  flush(): void {
    for (const { timer, latest, count } of this.#intervals.values()) {
      clearTimeout(timer);
      latest?.(count - 1);
    }
    this.#intervals.clear();
  }

  #write(kind: Kind, write: Write, omitted: number): void {
    write(omitted);
    const timer = setTimeout(() => this.#endInterval(kind), INTERVAL_MS).unref();
    this.#intervals.set(kind, { timer, latest: undefined, count: 0 });
  }

  #endInterval(kind: Kind): void {
    const { latest, count = 0 } = this.#intervals.get(kind) ?? {};
    this.#intervals.delete(kind);
    if (latest) this.#write(kind, latest, count - 1);
  }
}
