import { LRUCache } from 'lru-cache';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import type {
  AccountIdentity,
  AccountStore,
  Announcement,
  AnnouncementFeed,
  KnownAccount,
  LeaseAnswer,
  StoredAccount,
} from '../../token/ports.ts';
import { coolDownMs, coolsDown, FAILURE_MEMORY_MS, MAX_COOL_DOWN_MS } from '../../token/renewal-timing.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import {
  type AccessIdList,
  type AccountId,
  accountId,
  accountOf,
  type SubjectId,
  withAccessId,
} from '../../token/subject.ts';

/** The due times of subjects, in epoch ms. */
export class MemorySchedule {
  readonly #dueAt = new Map<SubjectId, number>();

  add(id: SubjectId, dueAt: number): void {
    this.#dueAt.set(id, dueAt);
  }

  /** Changes the due time of a subject that has one. */
  move(id: SubjectId, change: (dueAt: number) => number): void {
    const dueAt = this.#dueAt.get(id);
    if (dueAt !== undefined) this.#dueAt.set(id, change(dueAt));
  }

  remove(id: SubjectId): void {
    this.#dueAt.delete(id);
  }

  /** At most `limit` due subjects, the earliest first. */
  due(now: number, limit: number): SubjectId[] {
    return [...this.#dueAt]
      .filter(([, dueAt]) => dueAt <= now)
      .sort(([, one], [, other]) => one - other)
      .slice(0, limit)
      .map(([id]) => id);
  }

  ids(): Iterable<SubjectId> {
    return this.#dueAt.keys();
  }

  /** The number of subjects that are due until `at` (epoch ms). */
  dueUntil(at: number): number {
    let count = 0;
    for (const dueAt of this.#dueAt.values()) if (dueAt <= at) count += 1;
    return count;
  }

  get size(): number {
    return this.#dueAt.size;
  }

  /** When the first subject is due; `Infinity` if there is none. */
  get first(): number {
    return [...this.#dueAt.values()].reduce((earliest, dueAt) => Math.min(earliest, dueAt), Number.POSITIVE_INFINITY);
  }
}

/** Announcements within this process. They always arrive. */
export function memoryAnnouncements(clock: Clock) {
  const startedAt = clock.monotonic();
  const listeners: ((announcement: Announcement) => void)[] = [];
  const feed: AnnouncementFeed = {
    subscribe: (listener) => void listeners.push(listener),
    completeSince: () => startedAt,
  };
  const publish = (announcement: Announcement): void => {
    for (const listener of listeners) listener(announcement);
  };
  return { ...feed, publish };
}

interface Account {
  readonly records: Map<SubjectId, TokenRecord>;
  /** Set by the first login, kept until the erasure. */
  identity: { readonly unionId: string; readonly region: string; readonly accessIds: AccessIdList } | undefined;
  /** Epoch ms of the last erasure. */
  erasedAt: number | undefined;
}

const MAX_FAILING_ACCOUNTS = 100_000;

interface Failures {
  readonly count: number;
  /** Until then they are remembered. By the monotonic clock, as the next one. */
  readonly knownUntil: number;
  /** The end of the cool-down. */
  readonly until: number;
  readonly code: ErrorCode;
}

/** The failed logins of accounts, and the cool-down that they cause. */
export class MemoryFailures {
  readonly #clock: Clock;
  readonly #failures = boundedCache<AccountId, Failures>(MAX_FAILING_ACCOUNTS);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A failure during a cool-down is not counted: the login began before it.
   * @param waitMs the cool-down lasts at least this long
   */
  add(id: SubjectId, code: ErrorCode, waitMs: number): void {
    if (!coolsDown(code)) return;
    const account = accountOf(id);
    const now = this.#clock.monotonic();
    const stored = this.#failures.get(account);
    const before = stored && now < stored.knownUntil ? stored : undefined;
    const restMs = before ? Math.max(0, before.until - now) : 0;
    const count = (before?.count ?? 0) + (restMs > 0 ? 0 : 1);
    const coolsForMs = Math.max(Math.min(waitMs, MAX_COOL_DOWN_MS), restMs > 0 ? 0 : coolDownMs(count));
    const latest = before && coolsForMs < restMs ? before : { until: now + coolsForMs, code };
    const knownUntil = now + Math.max(FAILURE_MEMORY_MS, coolsForMs, restMs);
    this.#failures.set(account, { ...latest, count, knownUntil });
  }

  clear(id: SubjectId): void {
    this.#failures.delete(accountOf(id));
  }

  coolDown(account: AccountId): Extract<LeaseAnswer, { kind: 'cooling' }> | undefined {
    const failures = this.#failures.get(account);
    if (!failures) return undefined;
    const forMs = failures.until - this.#clock.monotonic();
    return forMs > 0 ? { kind: 'cooling', forMs, code: failures.code } : undefined;
  }
}

const MAX_FENCED_ACCOUNTS = 100_000;

/** Maximum number of fences of an account: this many, or two per terminal that the account may have. */
const MAX_FENCES = 64;

/** What refuses the tokens of earlier logins of a terminal: epoch ms, 0 for none. */
interface Fence {
  /** The newest generation that was granted. */
  readonly granted: number;
  /** The newest generation that a logout has outdated. */
  readonly outdated: number;
  /** The latest answer to a login whose token was dropped. */
  readonly dropped: number;
}

const NO_FENCE: Fence = { granted: 0, outdated: 0, dropped: 0 };

function latestOf(one: Fence, other: Fence): Fence {
  return {
    granted: Math.max(one.granted, other.granted),
    outdated: Math.max(one.outdated, other.outdated),
    dropped: Math.max(one.dropped, other.dropped),
  };
}

export function newestOf({ granted, outdated, dropped }: Fence): number {
  return Math.max(granted, outdated, dropped);
}

interface AccountFences {
  readonly bySubject: Map<SubjectId, Fence>;
  /** Stands for the oldest fences of the account. */
  floor: Fence;
}

/** The fences of all terminals. */
export class MemoryFences {
  readonly #accounts = boundedCache<AccountId, AccountFences>(MAX_FENCED_ACCOUNTS);
  readonly #perAccount: number;

  constructor(terminalsPerAccount: number) {
    this.#perAccount = Math.max(MAX_FENCES, 2 * terminalsPerAccount);
  }

  get(id: SubjectId): Fence {
    const fences = this.#accounts.get(accountOf(id));
    return latestOf(fences?.bySubject.get(id) ?? NO_FENCE, fences?.floor ?? NO_FENCE);
  }

  /** The newest number of all terminals of the account; 0 when there is none. */
  newestOf(account: AccountId): number {
    const fences = this.#accounts.get(account);
    return Math.max(...[...(fences?.bySubject.values() ?? []), fences?.floor ?? NO_FENCE].map(newestOf));
  }

  /** Above the limit, the oldest fence of the account becomes its floor. */
  raise(id: SubjectId, change: Partial<Fence>): void {
    const fences = this.#accounts.get(accountOf(id)) ?? { bySubject: new Map(), floor: NO_FENCE };
    this.#accounts.set(accountOf(id), fences);
    const { bySubject } = fences;
    bySubject.set(id, latestOf(bySubject.get(id) ?? NO_FENCE, { ...NO_FENCE, ...change }));
    if (bySubject.size <= this.#perAccount) return;
    const [oldest] = [...bySubject].sort(([, one], [, other]) => newestOf(one) - newestOf(other));
    if (!oldest) return;
    bySubject.delete(oldest[0]);
    fences.floor = latestOf(fences.floor, oldest[1]);
  }

  delete(id: SubjectId): void {
    this.#accounts.get(accountOf(id))?.bySubject.delete(id);
  }
}

/** The objects that the parts of the memory store share. */
export interface MemoryStoreContext {
  readonly clock: Clock;
  readonly schedule: MemorySchedule;
  readonly announcements: ReturnType<typeof memoryAnnouncements>;
  readonly fences: MemoryFences;
  readonly failures: MemoryFailures;
  readonly terminalsPerAccount: number;
}

export class MemoryAccounts implements AccountStore {
  readonly #context: MemoryStoreContext;
  readonly #accounts = new Map<AccountId, Account>();

  constructor(context: MemoryStoreContext) {
    this.#context = context;
  }

  async find(unionId: string): Promise<StoredAccount> {
    const id = accountId(unionId);
    const account = this.#accounts.get(id);
    const { clock, failures } = this.#context;
    const cooling = failures.coolDown(id);
    const coolDown = cooling && { until: clock.now() + cooling.forMs, code: cooling.code };
    const records = account ? this.#unexpired(account) : [];
    return { identity: await this.identify(unionId), records, coolDown, erasedAt: account?.erasedAt };
  }

  async identify(unionId: string): Promise<KnownAccount | undefined> {
    const identity = this.#accounts.get(accountId(unionId))?.identity;
    return identity && { accessId: identity.accessIds[0], region: identity.region };
  }

  async lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const identities = [...this.#accounts.values()].flatMap(({ identity }) => identity ?? []);
    const known = identities.flatMap(({ unionId, accessIds }) => accessIds.map((one) => [one, unionId] as const));
    return new Map(known.filter(([accessId]) => accessIds.includes(accessId)));
  }

  async erase(unionId: string): Promise<number> {
    const id = accountId(unionId);
    const known = this.#accounts.get(id);
    const generations = [...(known?.records.values() ?? [])].map(({ generation }) => generation);
    const { clock, fences } = this.#context;
    const newest = Math.max(known?.erasedAt ?? 0, fences.newestOf(id), ...generations);
    const erasedAt = Math.max(clock.now(), newest + 1);
    this.#erase(id, erasedAt);
    return erasedAt;
  }

  async repeatErasure(account: AccountId, generation: number): Promise<void> {
    if ((this.#accounts.get(account)?.erasedAt ?? 0) < generation) this.#erase(account, generation);
  }

  /** Leaves what is newer. */
  #erase(id: AccountId, erasedAt: number): void {
    const { schedule, announcements } = this.#context;
    const known = this.#accounts.get(id);
    const [records, newer] = [new Map<SubjectId, TokenRecord>(), known?.records ?? new Map<SubjectId, TokenRecord>()];
    for (const [subject, record] of newer) {
      if (record.generation > erasedAt) records.set(subject, record);
      else schedule.remove(subject);
    }
    this.#accounts.set(id, { records, identity: records.size > 0 ? known?.identity : undefined, erasedAt });
    announcements.publish({ kind: 'erased', account: id, generation: erasedAt });
  }

  /** Adds the accessId to those of the account, and pins the country of an account that has none. */
  remember(account: Account, { unionId, accessId, region }: AccountIdentity): void {
    const { identity } = account;
    const accessIds = withAccessId(identity?.accessIds ?? [], accessId);
    account.identity = { unionId, accessIds, region: identity?.region ?? region };
  }

  /** The account of a subject. It is created when there is none. */
  accountFor(id: SubjectId): Account {
    const known = this.get(id);
    if (known) return known;
    const account = { records: new Map(), identity: undefined, erasedAt: undefined };
    this.#accounts.set(accountOf(id), account);
    return account;
  }

  /** The account of a subject. */
  get(id: SubjectId): Account | undefined {
    return this.#accounts.get(accountOf(id));
  }

  isUnexpired({ token }: TokenRecord): boolean {
    return token.expiresAt > this.#context.clock.now();
  }

  /** Whether the subject would be one more terminal than its account may have. */
  exceedsLimit(id: SubjectId): boolean {
    const account = this.get(id);
    const own = account?.records.get(id);
    if (!account || (own && this.isUnexpired(own))) return false;
    return this.#unexpired(account).length >= this.#context.terminalsPerAccount;
  }

  #unexpired({ records }: Account): TokenRecord[] {
    return [...records.values()].filter((record) => this.isUnexpired(record));
  }
}

/** The `most` entries that were used last. With `max`, it would take the memory for all of them at once: 10 ms. */
export function boundedCache<Key extends string, Value extends NonNullable<unknown>>(
  most: number,
): LRUCache<Key, Value> {
  return new LRUCache({ maxSize: most, sizeCalculation: () => 1 });
}
