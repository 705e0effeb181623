import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import { EMPTY_PACE, type Pace, type Place, reservePlace, type Urgency } from '../../token/login-queue.ts';
import type {
  Announcement,
  DueClaim,
  DueClaims,
  Lease,
  LeaseAnswer,
  LoginQueue,
  RateLimiter,
  SaveOutcome,
  StoredAccount,
  StoredTerminal,
  TokenStore,
} from '../../token/ports.ts';
import { coolDownMs, coolsDown, FAILURE_MEMORY_MS } from '../../token/renewal-timing.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { accountId, type SubjectId, subjectId } from '../../token/subject.ts';
import { MemoryAccounts } from './memory-accounts.ts';

const SUBJECTS = 100_000;

interface Failures {
  readonly count: number;
  readonly lastAt: number;
  readonly code: ErrorCode;
}

/** How often logins of each subject have failed lately. */
class MemoryFailures {
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

interface HeldLease {
  readonly ownerId: string;
  readonly until: number;
}

/** Who holds the right to log in for each subject, and until when. */
class MemoryLeases {
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

const NAMES = 100_000;

/** Rates kept in this process (GCRA): by name when the next one is due; and the queue of vendor logins. */
export class MemoryRates implements RateLimiter, LoginQueue {
  readonly #clock: Clock;
  readonly #due = new LRUCache<string, number>({ max: NAMES });

  #queue = EMPTY_PACE;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async take(name: string, intervalMs: number, burst: number): Promise<number> {
    const now = this.#clock.now();
    const noted = this.#due.get(name) ?? 0;
    // Nothing is due that far ahead: the clock has been set back.
    const due = noted > now + (burst + 1) * intervalMs ? now : Math.max(now, noted);
    const waitMs = due - (burst - 1) * intervalMs - now;
    if (waitMs > 0) return Math.ceil(waitMs);
    this.#due.set(name, due + intervalMs);
    return 0;
  }

  async reserve(pace: Pace, urgency: Urgency): Promise<Place> {
    const { place, state } = reservePlace(this.#queue, this.#clock.now(), pace, urgency);
    this.#queue = state;
    return place;
  }
}

/** The due queue of one process: by subject the epoch ms at which it is to be looked at. */
class MemorySchedule {
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

/** Most logouts and failed logins whose generation is remembered. */
const FENCES = 100_000;

/** The store of a single replica: the same promises as the one in Redis, kept in this process and lost with it. */
export class MemoryTokenStore implements TokenStore {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #accounts: MemoryAccounts;
  readonly #leases: MemoryLeases;
  readonly #fences = new LRUCache<SubjectId, number>({ max: FENCES });
  readonly #failures: MemoryFailures;
  readonly #due = new MemorySchedule();
  readonly #rates: MemoryRates;
  readonly #listeners: ((announcement: Announcement) => void)[] = [];

  constructor({ clock, terminalsPerAccount }: { readonly clock: Clock; readonly terminalsPerAccount: number }) {
    this.#clock = clock;
    this.#accounts = new MemoryAccounts(clock, terminalsPerAccount);
    this.#startedAt = clock.now();
    this.#leases = new MemoryLeases(clock);
    this.#failures = new MemoryFailures(clock);
    this.#rates = new MemoryRates(clock);
  }

  async read(id: SubjectId): Promise<StoredTerminal> {
    const account = this.#accounts.peek(id);
    return { record: account?.records.get(id), erasedAt: account?.erasedAt };
  }

  async acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer> {
    const heldForMs = this.#leases.heldUntil(id) - this.#clock.now();
    if (heldForMs > 0) return { kind: 'held', heldForMs };
    const cooling = this.#failures.cooling(id);
    if (cooling) return cooling;
    if (this.#accounts.isOneTooMany(id)) return { kind: 'terminal_limit' };
    const account = this.#accounts.peek(id);
    const { erasedAt } = account ?? {};
    const lease = { id, ownerId: randomUUID(), generation: this.#nextGeneration(id), durationMs };
    this.#fences.set(id, lease.generation);
    this.#due.move(id, this.#leases.hold(lease));
    return { kind: 'granted', lease, current: account?.records.get(id), region: account?.known?.region, erasedAt };
  }

  async extend(lease: Lease): Promise<boolean> {
    if (!this.#leases.owns(lease)) return false;
    this.#due.move(lease.id, this.#leases.hold(lease));
    return true;
  }

  async save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome> {
    this.#leases.giveBack(lease);
    return this.#write(lease.id, record, dueAt, true);
  }

  async restore(record: TokenRecord, dueAt: number): Promise<'saved' | 'outdated'> {
    return this.#write(subjectId(record.subject), record, dueAt, false) === 'saved' ? 'saved' : 'outdated';
  }

  #write(id: SubjectId, record: TokenRecord, dueAt: number, limited: boolean): SaveOutcome {
    const { generation } = record;
    const account = this.#accounts.of(id);
    const current = account.records.get(id)?.generation ?? 0;
    if (current === generation) return 'saved';
    const fence = Math.max(this.#fences.get(id) ?? 0, account.erasedAt ?? 0);
    if (current > generation || fence > generation) return 'outdated';
    if (limited && this.#accounts.isOneTooMany(id)) return 'terminal_limit';
    const { unionId } = record.subject;
    account.known = {
      unionId,
      accessId: record.token.fields['accessId'] ?? '',
      region: account.known?.region ?? record.region,
    };
    account.records.set(id, record);
    this.#due.add(id, dueAt);
    this.#fences.delete(id);
    this.#failures.forget(id);
    this.#announce({ kind: 'saved', id, generation });
    return 'saved';
  }

  async release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void> {
    const { id, generation } = lease;
    if (!this.#leases.giveBack(lease)) return;
    if (dueAt !== undefined) this.#due.move(id, dueAt);
    if (failure) this.#failures.note(id, failure);
    if (failure) this.#announce({ kind: 'failed', id, generation, code: failure });
  }

  async remove(id: SubjectId): Promise<number> {
    const generation = this.#nextGeneration(id);
    this.#fences.set(id, generation);
    this.#accounts.peek(id)?.records.delete(id);
    this.#due.remove(id);
    this.#announce({ kind: 'removed', id, generation });
    return generation;
  }

  async account(unionId: string): Promise<StoredAccount | undefined> {
    return this.#accounts.find(unionId);
  }

  async lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.#accounts.lookUp(accessIds);
  }

  async erase(unionId: string): Promise<number> {
    const account = accountId(unionId);
    const { erasedAt, subjects } = this.#accounts.erase(account);
    for (const id of subjects) this.#due.remove(id);
    this.#announce({ kind: 'erased', account, generation: erasedAt });
    return erasedAt;
  }

  async markRead(id: SubjectId, generation: number): Promise<boolean> {
    const records = this.#accounts.peek(id)?.records;
    const record = records?.get(id);
    if (record?.generation !== generation || record.read) return false;
    records?.set(id, { ...record, read: true });
    return true;
  }

  async claimDue(limit: number, leaseMs: { shortest: number; longest: number }): Promise<DueClaims> {
    const now = this.#clock.now();
    const claims: DueClaim[] = [];
    for (const id of this.#due.due(now, limit)) {
      const record = this.#accounts.living(id);
      if (!record) {
        this.#due.remove(id);
        continue;
      }
      const halfMs = (record.token.expiresAt - now) / 2;
      const answer = await this.acquire(id, Math.min(leaseMs.longest, Math.max(leaseMs.shortest, halfMs)));
      if (answer.kind === 'granted') claims.push({ ...answer, record });
      if (answer.kind === 'held') this.#due.move(id, now + answer.heldForMs);
      if (answer.kind === 'cooling') this.#due.move(id, now + answer.forMs);
    }
    return { claims, ...this.#due.outlook(now) };
  }

  take(name: string, intervalMs: number, burst: number): Promise<number> {
    return this.#rates.take(name, intervalMs, burst);
  }

  reserve(pace: Pace, urgency: Urgency): Promise<Place> {
    return this.#rates.reserve(pace, urgency);
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  announcedSince(): number {
    return this.#startedAt;
  }

  /** It is never away. */
  onReturn(): void {}

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  #nextGeneration(id: SubjectId): number {
    const account = this.#accounts.peek(id);
    const newest = Math.max(
      this.#fences.get(id) ?? 0,
      account?.records.get(id)?.generation ?? 0,
      account?.erasedAt ?? 0,
    );
    return Math.max(this.#clock.now(), newest + 1);
  }

  #announce(announcement: Announcement): void {
    for (const listener of this.#listeners) listener(announcement);
  }
}
