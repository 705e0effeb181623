import type { Announcement, TokenStore } from '../token/ports.ts';
import type { SubjectId } from '../token/subject.ts';

type SubjectAnnouncement = Exclude<Announcement, { kind: 'erased' }>;
type Waiter = (announcement: SubjectAnnouncement | undefined) => void;

/** Lets a renewal wait until something is announced about its subject. */
export class AnnouncementBoard {
  readonly #waiters = new Map<SubjectId, Set<Waiter>>();

  constructor(store: Pick<TokenStore, 'subscribe'>) {
    store.subscribe((announcement) => {
      if (announcement.kind === 'erased') return;
      for (const waiter of this.#waiters.get(announcement.id) ?? []) waiter(announcement);
    });
  }

  /** The next announcement about `id`, or `undefined` after `timeoutMs`: announcements may get lost. */
  next(id: SubjectId, timeoutMs: number): Promise<SubjectAnnouncement | undefined> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      const done: Waiter = (announcement) => {
        clearTimeout(timer);
        waiters.delete(done);
        if (waiters.size === 0) this.#waiters.delete(id);
        resolve(announcement);
      };
      const timer = setTimeout(done, timeoutMs, undefined);
      this.#waiters.set(id, waiters.add(done));
    });
  }
}
