import type { DueClaims } from '../../token/ports.ts';
import type { SubjectId } from '../../token/subject.ts';

/** The due queue of one process: by subject the epoch ms at which it is to be looked at. */
export class MemorySchedule {
  readonly #due = new Map<SubjectId, number>();

  add(id: SubjectId, dueAt: number): void {
    this.#due.set(id, dueAt);
  }

  /** Only where it is on the schedule already. */
  move(id: SubjectId, dueAt: number): void {
    if (this.#due.has(id)) this.#due.set(id, dueAt);
  }

  remove(id: SubjectId): void {
    this.#due.delete(id);
  }

  claim(now: number, limit: number, visibilityMs: number): DueClaims {
    const ids = [...this.#due]
      .filter(([, at]) => at <= now)
      .sort(([, one], [, other]) => one - other)
      .slice(0, limit)
      .map(([id]) => id);
    for (const id of ids) this.#due.set(id, now + visibilityMs);
    let next: number | undefined;
    let backlog = 0;
    for (const at of this.#due.values()) {
      next = Math.min(next ?? at, at);
      if (at <= now) backlog += 1;
    }
    return { ids, nextInMs: next === undefined ? undefined : Math.max(0, next - now), backlog };
  }
}
