import type { Timer } from '../token/clock.ts';
import type { Lease } from '../token/ports.ts';
import { LEASE_MS } from '../token/renewal-timing.ts';
import type { BrokerPorts } from './broker-ports.ts';

/** A lease survives one lost heartbeat. */
const HEARTBEAT_MS = LEASE_MS / 3;
/** A due time in the past: another worker may claim the subject at once. */
const DUE_NOW = 0;

export type HeldLeasesOptions = Pick<BrokerPorts, 'terminals' | 'clock' | 'log'>;

/** The leases of running logins. One heartbeat extends them all, for as long as this replica lives. */
export function createHeldLeases({ terminals, clock, log }: HeldLeasesOptions) {
  /** When the store was last asked to grant or extend each, by the monotonic clock. */
  const held = new Map<Lease, number>();
  let heartbeat: Timer | undefined;
  return { add, isHeld, remove, releaseAll };

  /** @param askedAt when the store was asked for the lease, by the monotonic clock */
  function add(lease: Lease, askedAt: number): void {
    held.set(lease, askedAt);
    heartbeat ??= beatLater();
  }

  /** Whether the lease cannot have expired yet. */
  function isHeld(lease: Lease): boolean {
    const askedAt = held.get(lease);
    return askedAt !== undefined && clock.monotonic() - askedAt < lease.durationMs;
  }

  /** Stops extending the lease. Does not release it. */
  function remove(lease: Lease): void {
    held.delete(lease);
    if (held.size > 0) return;
    heartbeat?.cancel();
    heartbeat = undefined;
  }

  /** Releases all leases at shutdown, so that other replicas need not wait until they expire. */
  async function releaseAll(): Promise<void> {
    const leases = [...held.keys()];
    for (const lease of leases) remove(lease);
    await Promise.allSettled(leases.map((lease) => terminals.release(lease, DUE_NOW)));
  }

  function beatLater(): Timer {
    return clock.setTimer(() => {
      heartbeat = beatLater();
      void extendAll();
    }, HEARTBEAT_MS);
  }

  async function extendAll(): Promise<void> {
    const [leases, askedAt] = [[...held.keys()], clock.monotonic()];
    try {
      const lost = await terminals.extend(leases);
      for (const lease of leases) if (held.has(lease)) held.set(lease, askedAt);
      for (const lease of lost) {
        remove(lease);
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
