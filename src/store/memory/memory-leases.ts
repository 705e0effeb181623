import type { Clock } from '../../token/clock.ts';
import type { Lease } from '../../token/ports.ts';
import type { SubjectId } from '../../token/subject.ts';

interface HeldLease {
  readonly ownerId: string;
  readonly until: number;
}

/** Who holds the right to log in for each subject, and until when. */
export class MemoryLeases {
  readonly #clock: Clock;
  readonly #held = new Map<SubjectId, HeldLease>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Epoch ms until which somebody holds it; in the past where nobody does. */
  heldUntil(id: SubjectId): number {
    return this.#held.get(id)?.until ?? 0;
  }

  /** @returns epoch ms until which it is held from now on */
  hold({ id, ownerId, durationMs }: Lease): number {
    const until = this.#clock.now() + durationMs;
    this.#held.set(id, { ownerId, until });
    return until;
  }

  owns({ id, ownerId }: Lease): boolean {
    const held = this.#held.get(id);
    return held?.ownerId === ownerId && held.until > this.#clock.now();
  }

  /** Gives it back, where it is still this owner's. */
  giveBack(lease: Lease): boolean {
    return this.owns(lease) && this.#held.delete(lease.id);
  }
}
