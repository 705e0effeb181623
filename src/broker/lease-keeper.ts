import type { Log } from '../token/log.ts';
import type { Lease, TokenStore } from '../token/ports.ts';

/** Long past: what is released is due for whoever comes next. */
const AT_ONCE = 0;

/** Extends the leases in use at a third of their life, and knows them, so that they can be given back at the end. */
export class LeaseKeeper {
  readonly #store: Pick<TokenStore, 'extend' | 'release'>;
  readonly #log: Log;
  readonly #held = new Map<Lease, NodeJS.Timeout>();

  constructor(store: Pick<TokenStore, 'extend' | 'release'>, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  keep(lease: Lease): void {
    const timer = setInterval(() => void this.#extend(lease), lease.durationMs / 3);
    this.#held.set(lease, timer);
  }

  /** Stops extending it; whoever saves or releases it gives it back. */
  letGo(lease: Lease): void {
    clearInterval(this.#held.get(lease));
    this.#held.delete(lease);
  }

  /** Gives back whatever is still held, so that other replicas need not wait for it to run out. */
  async releaseAll(): Promise<void> {
    const leases = [...this.#held.keys()];
    for (const lease of leases) this.letGo(lease);
    await Promise.allSettled(leases.map((lease) => this.#store.release(lease, AT_ONCE)));
  }

  async #extend(lease: Lease): Promise<void> {
    try {
      if (await this.#store.extend(lease)) return;
      this.letGo(lease);
      this.#log.warn(
        { subject: lease.id },
        'a lease was lost while logging in; if its token is outdated it is not saved',
      );
    } catch (error) {
      this.#log.warn({ subject: lease.id, err: error }, 'a lease could not be extended');
    }
  }
}
