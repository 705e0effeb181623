/** Below this the `Date` header, which counts whole seconds, proves nothing. */
const NEGLIGIBLE_MS = 2000;

const WARN_MS = 30_000;
const ERROR_MS = 120_000;

export interface DateObservation {
  /** The answer's `Date`, epoch ms on the vendor's clock. */
  readonly vendorDate: number;
  /** Epoch ms, our clock. */
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** How far one vendor domain's clock is ahead of ours, learnt from its answers. */
export class ClockOffset {
  readonly #report: (level: 'warn' | 'error', offsetMs: number) => void;
  #ms = 0;
  #reported: 'warn' | 'error' | undefined;

  /** @param report hears once of an offset above 30 s (warn) and above 120 s (error) */
  constructor(report: (level: 'warn' | 'error', offsetMs: number) => void) {
    this.#report = report;
  }

  /** The vendor's clock minus ours; 0 unless they are known to differ. */
  get ms(): number {
    return this.#ms;
  }

  /** Learns from an answer. What may be the slowness of the answer itself is not taken for an offset. */
  observe({ vendorDate, sentAt, receivedAt }: DateObservation): void {
    const halfTrip = (receivedAt - sentAt) / 2;
    // `Date` was cut to the second: on average it is half a second short.
    const offset = Math.round(vendorDate + 500 - (sentAt + halfTrip));
    this.#ms = Math.abs(offset) > NEGLIGIBLE_MS + halfTrip ? offset : 0;
    const level = levelOf(Math.abs(this.#ms));
    if (level && level !== this.#reported) this.#report(level, this.#ms);
    this.#reported = level;
  }
}

function levelOf(ms: number): 'warn' | 'error' | undefined {
  if (ms > ERROR_MS) return 'error';
  return ms > WARN_MS ? 'warn' : undefined;
}
