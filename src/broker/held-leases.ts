import type { Clock, Timer } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Lease, TerminalStore } from '../token/ports.ts';
import { LEASE_MS } from '../token/renewal-timing.ts';

/** A due time in the past: another worker may claim the subject at once. */
const DUE_NOW = 0;
/** A lease survives one lost heartbeat. */
const HEARTBEAT_MS = LEASE_MS / 3;

export interface HeldLeasesOptions {
  readonly terminals: TerminalStore;
  readonly clock: Clock;
  readonly log: Log;
}

/** The leases of running logins. One heartbeat extends them all, for as long as this replica lives. */
export class HeldLeases {
  readonly #options: HeldLeasesOptions;
  /** When the store was last asked to grant or extend each, by the monotonic clock. */
  readonly #leases = new Map<Lease, number>();
  #heartbeat: Timer | undefined;

  constructor(options: HeldLeasesOptions) {
    this.#options = options;
  }

  /** @param askedAt when the store was asked for the lease, by the monotonic clock */
  add(lease: Lease, askedAt: number): void {
    this.#leases.set(lease, askedAt);
    this.#heartbeat ??= this.#beatLater();
  }

  /** Whether the lease cannot have expired yet. */
  isHeld(lease: Lease): boolean {
    const askedAt = this.#leases.get(lease);
    return askedAt !== undefined && this.#options.clock.monotonic() - askedAt < lease.durationMs;
  }

  /** Stops extending the lease. Does not release it. */
  remove(lease: Lease): void {
    this.#leases.delete(lease);
    if (this.#leases.size > 0) return;
    this.#heartbeat?.cancel();
    this.#heartbeat = undefined;
  }

  /** Releases all leases at shutdown, so that other replicas need not wait until they expire. */
  async releaseAll(): Promise<void> {
    const leases = [...this.#leases.keys()];
    for (const lease of leases) this.remove(lease);
    await Promise.allSettled(leases.map((lease) => this.#options.terminals.release(lease, DUE_NOW)));
  }

  #beatLater(): Timer {
    return this.#options.clock.setTimer(() => {
      this.#heartbeat = this.#beatLater();
      void this.#extendAll();
    }, HEARTBEAT_MS);
  }

  async #extendAll(): Promise<void> {
    const { terminals, clock, log } = this.#options;
    const [leases, askedAt] = [[...this.#leases.keys()], clock.monotonic()];
    try {
      const lost = await terminals.extend(leases);
      for (const lease of leases) if (this.#leases.has(lease)) this.#leases.set(lease, askedAt);
      for (const lease of lost) {
        this.remove(lease);
        log.warn(
          { subject: lease.id },
          'a lease was lost during a login; the store refuses the token if it is outdated',
        );
      }
    } catch (error) {
      log.warn({ err: error }, 'leases could not be extended');
    }
  }
}
