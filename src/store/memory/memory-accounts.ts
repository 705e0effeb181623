import type { Clock } from '../../token/clock.ts';
import type { AccountStore, Announcement, AnnouncementFeed, StoredAccount } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { type AccountId, accountId, accountOf, type SubjectId } from '../../token/subject.ts';

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

/** Announces changes to this process. */
export class MemoryAnnouncements implements AnnouncementFeed {
  readonly #startedAt: number;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];

  constructor(clock: Clock) {
    this.#startedAt = clock.now();
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  completeSince(): number {
    return this.#startedAt;
  }

  publish(announcement: Announcement): void {
    for (const listener of this.#listeners) listener(announcement);
  }
}

interface Account {
  readonly records: Map<SubjectId, TokenRecord>;
  /** What outlives the tokens: from the first success to the erasure. */
  known: { readonly unionId: string; readonly accessId: string; readonly region: string } | undefined;
  erasedAt: number | undefined;
}

/** The accounts of one process: their terminals, and the directory of accessIds that outlives tokens. */
export class MemoryAccounts implements AccountStore {
  readonly #clock: Clock;
  readonly #terminalsPerAccount: number;
  readonly #schedule: MemorySchedule;
  readonly #announcements: MemoryAnnouncements;
  readonly #accounts = new Map<AccountId, Account>();

  constructor(clock: Clock, terminalsPerAccount: number, schedule: MemorySchedule, announcements: MemoryAnnouncements) {
    this.#clock = clock;
    this.#terminalsPerAccount = terminalsPerAccount;
    this.#schedule = schedule;
    this.#announcements = announcements;
  }

  /** The account a subject belongs to, for changing it. */
  of(id: SubjectId): Account {
    const known = this.#accounts.get(accountOf(id));
    if (known) return known;
    const account = { records: new Map(), known: undefined, erasedAt: undefined };
    this.#accounts.set(accountOf(id), account);
    return account;
  }

  /** The account a subject belongs to, where there is one. */
  peek(id: SubjectId): Account | undefined {
    return this.#accounts.get(accountOf(id));
  }

  async find(unionId: string): Promise<StoredAccount | undefined> {
    const account = this.#accounts.get(accountId(unionId));
    if (!account?.known) return undefined;
    const { accessId, region } = account.known;
    return { accessId, region, records: [...account.records.values()].filter((record) => this.lives(record)) };
  }

  async lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const known = [...this.#accounts.values()].flatMap((account) => account.known ?? []);
    const asked = known.filter(({ accessId }) => accessIds.includes(accessId));
    return new Map(asked.map(({ accessId, unionId }) => [accessId, unionId]));
  }

  async erase(unionId: string): Promise<number> {
    const account = accountId(unionId);
    const records = this.#accounts.get(account)?.records ?? new Map<SubjectId, TokenRecord>();
    const newest = Math.max(this.#clock.now(), ...[...records.values()].map(({ generation }) => generation));
    const erasedAt = newest + 1;
    this.#accounts.set(account, { records: new Map(), known: undefined, erasedAt });
    for (const id of records.keys()) this.#schedule.remove(id);
    this.#announcements.publish({ kind: 'erased', account, generation: erasedAt });
    return erasedAt;
  }

  lives({ token }: TokenRecord): boolean {
    return token.expiresAt > this.#clock.now();
  }

  /** The subject's record, if it lives; what is left of an expired one goes. */
  living(id: SubjectId): TokenRecord | undefined {
    const records = this.peek(id)?.records;
    const record = records?.get(id);
    if (record && this.lives(record)) return record;
    records?.delete(id);
    return undefined;
  }

  /** Whether this would be another terminal of an account that has as many as it may. */
  isOneTooMany(id: SubjectId): boolean {
    const records = this.peek(id)?.records;
    const own = records?.get(id);
    if (!records || (own && this.lives(own))) return false;
    return [...records.values()].filter((record) => this.lives(record)).length >= this.#terminalsPerAccount;
  }
}
