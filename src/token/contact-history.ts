import type { Clock } from './clock.ts';

export interface ContactFailure {
  /** Epoch ms. */
  readonly at: number;
  /** The kind of failure, in a word or a code. It holds nothing personal and no secret. */
  readonly reason: string;
  /** The vendor's result code. */
  readonly vendorCode?: number | undefined;
  /** The exact cause: the code of an error, for example `CERT_HAS_EXPIRED`, or a sentence. No secret. */
  readonly problem?: string | undefined;
}

/** When another system was last reached, and when not. */
export type Contact = Readonly<Omit<ContactHistory, 'succeeded' | 'works' | 'failed' | 'refused'>>;

/** Of a vendor domain. `open`: no login is sent there. `half-open`: one trial attempt is. */
export type CircuitStatus = 'closed' | 'half-open' | 'open';

/** One domain of the vendor, as this replica sees it. */
export interface VendorDomain extends Contact {
  /** With the port if it is not the default. */
  readonly host: string;
  readonly circuit: CircuitStatus;
  /** The vendor's clock minus ours; 0 unless a difference is known. */
  readonly clockOffsetMs: number;
}

/** The last success and failure of a system that the broker depends on, for `GET /status`, as this replica saw them. */
export class ContactHistory {
  /** Epoch ms; `undefined` before the first success. */
  lastSuccessAt: number | undefined;
  lastFailure: ContactFailure | undefined;
  /** Apart from {@link lastFailure}, so that it neither prolongs an outage nor gives it another reason. */
  lastRefusal?: ContactFailure | undefined;
  /** Epoch ms of the first failure after the last success; `undefined` after a success, and before any contact. */
  failingSince: number | undefined;
  /** Number of failures since then. */
  failures = 0;
  /** The time of {@link failingSince} and of the last call of {@link failed}, by the monotonic clock. */
  failingSinceMonotonic?: number;
  failedMonotonic?: number;
  readonly #clock: Pick<Clock, 'monotonic'>;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** @param at epoch ms */
  succeeded(at: number): void {
    this.lastSuccessAt = at;
    this.works();
  }

  /** The system works: what failed before is over. */
  works(): void {
    this.failingSince = undefined;
    this.failures = 0;
  }

  failed(failure: ContactFailure): void {
    this.lastFailure = failure;
    this.failedMonotonic = this.#clock.monotonic();
    if (this.failingSince === undefined) this.failingSinceMonotonic = this.failedMonotonic;
    this.failingSince ??= failure.at;
    this.failures += 1;
  }

  /** The system has answered, but refused what it was asked. This alone does not end an outage. */
  refused(failure: ContactFailure): void {
    this.lastRefusal = failure;
  }
}
