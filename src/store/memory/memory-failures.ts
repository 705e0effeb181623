import { LRUCache } from 'lru-cache';
import type { Clock } from '../../token/clock.ts';
import { coolDownMs, coolsDown, FAILURE_MEMORY_MS } from '../../token/cool-down.ts';
import type { ErrorCode } from '../../token/errors.ts';
import type { LeaseAnswer } from '../../token/ports.ts';
import type { SubjectId } from '../../token/subject.ts';

const SUBJECTS = 100_000;

interface Failures {
  readonly count: number;
  readonly lastAt: number;
  readonly code: ErrorCode;
}

/** How often logins of each subject have failed lately. */
export class MemoryFailures {
  readonly #clock: Clock;
  readonly #failures = new LRUCache<SubjectId, Failures>({ max: SUBJECTS });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(id: SubjectId, code: ErrorCode): void {
    if (!coolsDown(code)) return;
    const lastAt = this.#clock.now();
    const before = this.#failures.get(id);
    const goesOn = before && lastAt - before.lastAt < FAILURE_MEMORY_MS;
    this.#failures.set(id, { count: goesOn ? before.count + 1 : 1, lastAt, code });
  }

  forget(id: SubjectId): void {
    this.#failures.delete(id);
  }

  /** What whoever wants a lease is told while the subject is left alone. */
  cooling(id: SubjectId): LeaseAnswer | undefined {
    const failures = this.#failures.get(id);
    if (!failures) return undefined;
    const forMs = failures.lastAt + coolDownMs(failures.count) - this.#clock.now();
    return forMs > 0 ? { kind: 'cooling', forMs, code: failures.code } : undefined;
  }
}
