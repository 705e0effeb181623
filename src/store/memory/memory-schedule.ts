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

  /** At most `limit` that are due, the longest due first. */
  due(now: number, limit: number): SubjectId[] {
    return [...this.#due]
      .filter(([, at]) => at <= now)
      .sort(([, one], [, other]) => one - other)
      .slice(0, limit)
      .map(([id]) => id);
  }

  /** When the next is due, and how many are. */
  outlook(now: number): { readonly nextInMs: number | undefined; readonly backlog: number } {
    let next: number | undefined;
    let backlog = 0;
    for (const at of this.#due.values()) {
      next = Math.min(next ?? at, at);
      if (at <= now) backlog += 1;
    }
    return { nextInMs: next === undefined ? undefined : Math.max(0, next - now), backlog };
  }
}
