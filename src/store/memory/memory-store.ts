import { randomUUID } from 'node:crypto';
import type { Clock } from '../../token/clock.ts';
import { LocalLoginQueue } from '../../token/login-queue.ts';
import type {
  AccountIdentity,
  DueQueue,
  DueSubjects,
  Lease,
  LeaseAnswer,
  LoginFailure,
  LoginQueue,
  RateLimiter,
  RestoreOutcome,
  SaveOutcome,
  ScheduleOutlook,
  StoredTerminal,
  TerminalStore,
  TokenStore,
} from '../../token/ports.ts';
import { HIDDEN_MS } from '../../token/renewal-timing.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { accountOf, type SubjectId, subjectId } from '../../token/subject.ts';
import { EndsSearch, type TokenEnds } from '../../token/token-ends.ts';
import {
  boundedCache,
  MemoryAccounts,
  MemoryFailures,
  MemoryFences,
  MemorySchedule,
  type MemoryStoreContext,
  memoryAnnouncements,
  newestOf,
} from './memory-accounts.ts';

/** Maximum number of rate limits that are remembered. */
const MAX_RATES = 100_000;

class MemoryLeases {
  readonly #clock: Clock;
  readonly #held = new Map<SubjectId, { readonly ownerId: string; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ms until the lease ends; 0 or less when it is free. */
  heldForMs(id: SubjectId): number {
    return (this.#held.get(id)?.until ?? Number.NEGATIVE_INFINITY) - this.#clock.monotonic();
  }

  /** Starts or restarts a lease. */
  hold({ id, ownerId, durationMs }: Lease): void {
    this.#held.set(id, { ownerId, until: this.#clock.monotonic() + durationMs });
  }

  isHeldBy({ id, ownerId }: Lease): boolean {
    return this.#held.get(id)?.ownerId === ownerId && this.heldForMs(id) > 0;
  }

  /** @returns `false` when the owner has lost the lease */
  release(lease: Lease): boolean {
    return this.isHeldBy(lease) && this.#held.delete(lease.id);
  }
}

interface WrittenLogin {
  readonly isLeased: boolean;
  /** Of a login without a lease. */
  readonly sessionIssuedAt?: number | undefined;
  /** Whether its token goes nowhere. */
  readonly isDropped?: boolean;
}

class MemoryTerminals implements TerminalStore, DueQueue {
  readonly #context: MemoryStoreContext;
  readonly #accounts: MemoryAccounts;
  readonly #leases: MemoryLeases;

  constructor(context: MemoryStoreContext, accounts: MemoryAccounts) {
    this.#context = context;
    this.#accounts = accounts;
    this.#leases = new MemoryLeases(context.clock);
  }

  async read(id: SubjectId): Promise<StoredTerminal> {
    const account = this.#accounts.get(id);
    return { record: account?.records.get(id), erasedAt: account?.erasedAt };
  }

  async markRead(id: SubjectId, generation: number, dueAt: number): Promise<boolean> {
    const records = this.#accounts.get(id)?.records;
    const record = records?.get(id);
    if (record?.generation !== generation || record.read) return false;
    records?.set(id, { ...record, read: true });
    this.#context.schedule.move(id, (known) => Math.min(known, dueAt));
    return true;
  }

  async acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer> {
    const heldForMs = this.#leases.heldForMs(id);
    if (heldForMs > 0) return { kind: 'held', heldForMs };
    const { clock, schedule, fences, failures } = this.#context;
    const coolDown = failures.coolDown(accountOf(id));
    if (coolDown) {
      schedule.move(id, (dueAt) => Math.max(dueAt, clock.now() + coolDown.forMs));
      return coolDown;
    }
    const account = this.#accounts.get(id);
    const generation = this.#nextGeneration(id);
    let current = account?.records.get(id);
    let endedRead = false;
    if (!current || !this.#accounts.isUnexpired(current)) {
      endedRead = current?.read ?? false;
      account?.records.delete(id);
      schedule.remove(id);
      current = undefined;
    }
    if (this.#accounts.exceedsLimit(id)) return { kind: 'terminal_limit', endedRead };
    const lease = { id, ownerId: randomUUID(), generation, durationMs };
    fences.raise(id, { granted: generation });
    this.#hold(lease);
    return {
      kind: 'granted',
      lease,
      current,
      region: account?.identity?.region,
      erasedAt: account?.erasedAt,
      endedRead,
    };
  }

  async extend(leases: readonly Lease[]): Promise<readonly Lease[]> {
    const held = leases.filter((lease) => this.#leases.isHeldBy(lease));
    for (const lease of held) this.#hold(lease);
    return leases.filter((lease) => !held.includes(lease));
  }

  /** The due queue hides the subject while the lease lasts. */
  #hold(lease: Lease): void {
    const { clock, schedule } = this.#context;
    this.#leases.hold(lease);
    schedule.move(lease.id, () => clock.now() + lease.durationMs);
  }

  async save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome> {
    this.#leases.release(lease);
    return this.#write(lease.id, record, dueAt, { isLeased: true });
  }

  async saveAccessId(lease: Lease, identity: AccountIdentity): Promise<'saved' | 'outdated'> {
    const { id, generation } = lease;
    this.#leases.release(lease);
    const account = this.#accounts.accountFor(id);
    if ((account.erasedAt ?? 0) > generation) return 'outdated';
    this.#accounts.remember(account, identity);
    this.#context.failures.clear(id);
    return 'saved';
  }

  async release(lease: Lease, dueAt: number | undefined, failure?: LoginFailure): Promise<void> {
    const { id, generation } = lease;
    if (!this.#leases.release(lease)) return;
    const { schedule, failures, announcements } = this.#context;
    if (dueAt !== undefined) schedule.move(id, () => dueAt);
    if (!failure) return;
    const { code, retryAfter, vendorCode, waitMs = 0 } = failure;
    failures.add(id, code, waitMs);
    announcements.publish({ kind: 'failed', id, generation, code, retryAfter, vendorCode });
  }

  async restore(record: TokenRecord, dueAt: number, sessionIssuedAt?: number): Promise<RestoreOutcome> {
    const id = subjectId(record.subject);
    return this.#write(id, record, dueAt, { isLeased: false, sessionIssuedAt }) as RestoreOutcome;
  }

  async drop(record: TokenRecord): Promise<void> {
    this.#write(subjectId(record.subject), record, 0, { isLeased: false, isDropped: true });
  }

  clockFor(): number {
    return this.#context.clock.now();
  }

  async remove(id: SubjectId, sessionIssuedAt?: number): Promise<number | undefined> {
    const account = this.#accounts.get(id);
    if (account?.erasedAt !== undefined && (sessionIssuedAt ?? Number.POSITIVE_INFINITY) <= account.erasedAt) return;
    const generation = this.#nextGeneration(id);
    this.#remove(id, generation);
    return generation;
  }

  async repeatRemoval(id: SubjectId, generation: number): Promise<void> {
    const stored = this.#accounts.get(id)?.records.get(id)?.generation ?? 0;
    if (this.#context.fences.get(id).outdated < generation && stored <= generation) this.#remove(id, generation);
  }

  #remove(id: SubjectId, generation: number): void {
    const { schedule, fences, announcements } = this.#context;
    fences.raise(id, { outdated: generation });
    this.#accounts.get(id)?.records.delete(id);
    schedule.remove(id);
    announcements.publish({ kind: 'removed', id, generation });
  }

  async claim(limit: number): Promise<DueSubjects> {
    const { clock, schedule } = this.#context;
    const now = clock.now();
    const overdueMs = Math.max(0, now - schedule.first);
    const ids = schedule.due(now, limit);
    for (const id of ids) schedule.move(id, () => now + HIDDEN_MS);
    const nextInMs = schedule.size > 0 ? Math.max(0, schedule.first - now) : undefined;
    return { ids, nextInMs, backlog: schedule.dueUntil(now), overdueMs };
  }

  async outlook(horizonsMs: readonly number[]): Promise<ScheduleOutlook> {
    const { clock, schedule } = this.#context;
    const now = clock.now();
    const dueWithin = horizonsMs.map((ms) => schedule.dueUntil(now + ms));
    return { dueWithin, total: schedule.size, overdueMs: Math.max(0, now - schedule.first) };
  }

  async ends(): Promise<TokenEnds> {
    const { clock, schedule } = this.#context;
    const search = new EndsSearch(clock.now());
    for (const id of schedule.ids()) {
      const record = this.#accounts.get(id)?.records.get(id);
      if (record?.read) search.add(record.token.expiresAt);
    }
    return search;
  }

  /** See `TerminalStore.save` and `SaveOutcome`. */
  #write(id: SubjectId, record: TokenRecord, dueAt: number, login: WrittenLogin): SaveOutcome {
    const { isLeased, sessionIssuedAt = Number.POSITIVE_INFINITY, isDropped = false } = login;
    const { clock, schedule, fences, failures, announcements } = this.#context;
    const { generation, answeredAt } = record;
    const account = this.#accounts.accountFor(id);
    const stored = account.records.get(id);
    const { unionId } = record.subject;
    const identity = { unionId, accessId: record.token.fields['accessId'] ?? '', region: record.region };
    if (stored && isSameLogin(stored, record)) {
      this.#accounts.remember(account, identity);
      return 'saved';
    }
    const fence = fences.get(id);
    /** The token is not written, but its login may have ended the token of a later one at the vendor. */
    const drop = <Outcome extends SaveOutcome>(outcome: Outcome): Outcome => {
      if (stored && stored.generation > answeredAt) return outcome;
      fences.raise(id, { dropped: answeredAt });
      if (stored && stored.generation >= generation) {
        account.records.set(id, { ...stored, suspect: true });
        schedule.move(id, (known) => Math.min(known, clock.now()));
        announcements.publish({ kind: 'suspected', id, generation: stored.generation });
      }
      return outcome;
    };
    if (isDropped) return drop('outdated');
    const { erasedAt = 0 } = account;
    if (erasedAt > 0 && erasedAt >= sessionIssuedAt) return drop('outdated');
    if (Math.max(fence.outdated, erasedAt) >= generation) return drop('outdated');
    if (stored && stored.generation >= generation) return drop('superseded');
    if (isLeased && fence.granted > generation) return drop('lease_lost');
    if (isLeased && this.#accounts.exceedsLimit(id)) return drop('terminal_limit');
    const suspect = Math.max(stored?.answeredAt ?? 0, fence.dropped) >= generation;
    this.#accounts.remember(account, identity);
    account.records.set(id, suspect ? { ...record, suspect } : record);
    schedule.add(id, suspect ? clock.now() : dueAt);
    if (suspect) fences.raise(id, { dropped: stored?.answeredAt ?? 0 });
    else if (newestOf(fence) <= generation) fences.delete(id);
    failures.clear(id);
    announcements.publish({ kind: 'saved', id, generation });
    return suspect ? 'suspect' : 'saved';
  }

  /** Later than each that was granted, outdated, stored or erased, and than all that is known of other logins. */
  #nextGeneration(id: SubjectId): number {
    const { clock, fences } = this.#context;
    const account = this.#accounts.get(id);
    const { generation = 0, answeredAt = 0 } = account?.records.get(id) ?? {};
    const newest = Math.max(newestOf(fences.get(id)), generation, answeredAt, account?.erasedAt ?? 0);
    return Math.max(clock.now(), newest + 1);
  }
}

function isSameLogin(one: TokenRecord, other: TokenRecord): boolean {
  const isSameToken = one.token.fields['accessToken'] === other.token.fields['accessToken'];
  return isSameToken && one.generation === other.generation;
}

/** Rate limits and the queue of vendor logins within this process. */
export function memoryRates(clock: Clock): RateLimiter & LoginQueue {
  /** By name: when the next permit is due, by the monotonic clock. */
  const dueTimes = boundedCache<string, number>(MAX_RATES);
  const queue = new LocalLoginQueue();
  return {
    async take(name, intervalMs, burst) {
      const now = clock.monotonic();
      const dueAt = Math.max(now, dueTimes.get(name) ?? 0);
      const waitMs = dueAt - (burst - 1) * intervalMs - now;
      if (waitMs > 0) return Math.ceil(waitMs);
      dueTimes.set(name, dueAt + intervalMs);
      return 0;
    },
    async giveBack(name, intervalMs) {
      const dueAt = dueTimes.get(name);
      if (dueAt !== undefined) dueTimes.set(name, dueAt - intervalMs);
    },
    reserve: async (pace, urgency, account) => queue.reserve(clock.monotonic(), pace, urgency, account),
    nextPlaceInMs: async () => queue.nextPlaceInMs(clock.monotonic()),
  };
}

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly terminalsPerAccount: number;
}

/** The store of a single replica: the same guarantees as the Redis store, but lost when the process ends. */
export function createMemoryStore({ clock, terminalsPerAccount }: MemoryStoreOptions): TokenStore {
  const announcements = memoryAnnouncements(clock);
  const failures = new MemoryFailures(clock);
  const fences = new MemoryFences(terminalsPerAccount);
  const context = { clock, schedule: new MemorySchedule(), announcements, fences, failures, terminalsPerAccount };
  const accounts = new MemoryAccounts(context);
  const terminals = new MemoryTerminals(context, accounts);
  const rates = memoryRates(clock);
  return {
    terminals,
    accounts,
    dueQueue: terminals,
    rateLimiter: rates,
    loginQueue: rates,
    announcements,
    health: { ping: async () => undefined, onReturn: () => undefined },
    // There is one replica.
    replicas: { leave: async () => undefined, others: async () => [], end: async () => undefined },
    close: async () => undefined,
  };
}
