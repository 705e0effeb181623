import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import { EMPTY_PACE, type Pace, type Place, reservePlace, type Urgency } from '../../token/login-queue.ts';
import type {
  DueClaim,
  DueClaims,
  DueQueue,
  Lease,
  LeaseAnswer,
  LoginQueue,
  RateLimiter,
  SaveOutcome,
  StoredTerminal,
  TerminalStore,
  TokenStore,
} from '../../token/ports.ts';
import { coolDownMs, coolsDown, FAILURE_MEMORY_MS } from '../../token/renewal-timing.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { type SubjectId, subjectId } from '../../token/subject.ts';
import { MemoryAccounts, MemoryAnnouncements, MemorySchedule } from './memory-accounts.ts';

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

/** Most logouts and failed logins whose generation is remembered. */
const FENCES = 100_000;

class MemoryTerminals implements TerminalStore {
  readonly #clock: Clock;
  readonly #accounts: MemoryAccounts;
  readonly #schedule: MemorySchedule;
  readonly #announcements: MemoryAnnouncements;
  readonly #leases: MemoryLeases;
  readonly #fences = new LRUCache<SubjectId, number>({ max: FENCES });
  readonly #failures: MemoryFailures;

  constructor(clock: Clock, accounts: MemoryAccounts, schedule: MemorySchedule, announcements: MemoryAnnouncements) {
    this.#clock = clock;
    this.#accounts = accounts;
    this.#schedule = schedule;
    this.#announcements = announcements;
    this.#leases = new MemoryLeases(clock);
    this.#failures = new MemoryFailures(clock);
  }

  async read(id: SubjectId): Promise<StoredTerminal> {
    const account = this.#accounts.peek(id);
    return { record: account?.records.get(id), erasedAt: account?.erasedAt };
  }

  async markRead(id: SubjectId, generation: number): Promise<boolean> {
    const records = this.#accounts.peek(id)?.records;
    const record = records?.get(id);
    if (record?.generation !== generation || record.read) return false;
    records?.set(id, { ...record, read: true });
    return true;
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
    this.#schedule.move(id, this.#leases.hold(lease));
    return { kind: 'granted', lease, current: account?.records.get(id), region: account?.known?.region, erasedAt };
  }

  async extend(leases: readonly Lease[]): Promise<readonly Lease[]> {
    const owned = leases.filter((lease) => this.#leases.owns(lease));
    for (const lease of owned) this.#schedule.move(lease.id, this.#leases.hold(lease));
    return leases.filter((lease) => !owned.includes(lease));
  }

  async save(lease: Lease, record: TokenRecord, dueAt: number): Promise<SaveOutcome> {
    this.#leases.giveBack(lease);
    return this.#write(lease.id, record, dueAt, true);
  }

  async release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void> {
    const { id, generation } = lease;
    if (!this.#leases.giveBack(lease)) return;
    if (dueAt !== undefined) this.#schedule.move(id, dueAt);
    if (failure) this.#failures.note(id, failure);
    if (failure) this.#announcements.publish({ kind: 'failed', id, generation, code: failure });
  }

  async restore(record: TokenRecord, dueAt: number): Promise<'saved' | 'outdated'> {
    return this.#write(subjectId(record.subject), record, dueAt, false) === 'saved' ? 'saved' : 'outdated';
  }

  async remove(id: SubjectId): Promise<number> {
    const generation = this.#nextGeneration(id);
    this.#fences.set(id, generation);
    this.#accounts.peek(id)?.records.delete(id);
    this.#schedule.remove(id);
    this.#announcements.publish({ kind: 'removed', id, generation });
    return generation;
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
    this.#schedule.add(id, dueAt);
    this.#fences.delete(id);
    this.#failures.forget(id);
    this.#announcements.publish({ kind: 'saved', id, generation });
    return 'saved';
  }

  #nextGeneration(id: SubjectId): number {
    const account = this.#accounts.peek(id);
    const newest = Math.max(
      this.#fences.get(id) ?? 0,
      account?.records.get(id)?.generation ?? 0,
      account?.erasedAt ?? 0,
    );
    return Math.max(this.#clock.now(), newest + 1);
  }
}

class MemoryDueQueue implements DueQueue {
  readonly #clock: Clock;
  readonly #accounts: MemoryAccounts;
  readonly #schedule: MemorySchedule;
  readonly #terminals: MemoryTerminals;

  constructor(clock: Clock, accounts: MemoryAccounts, schedule: MemorySchedule, terminals: MemoryTerminals) {
    this.#clock = clock;
    this.#accounts = accounts;
    this.#schedule = schedule;
    this.#terminals = terminals;
  }

  async claim(limit: number, leaseMs: number): Promise<DueClaims> {
    const now = this.#clock.now();
    const claims: DueClaim[] = [];
    for (const id of this.#schedule.due(now, limit)) {
      const record = this.#accounts.living(id);
      if (!record) {
        this.#schedule.remove(id);
        continue;
      }
      const answer = await this.#terminals.acquire(id, leaseMs);
      if (answer.kind === 'granted') claims.push({ ...answer, record });
      if (answer.kind === 'held') this.#schedule.move(id, now + answer.heldForMs);
      if (answer.kind === 'cooling') this.#schedule.move(id, now + answer.forMs);
    }
    return { claims, ...this.#schedule.outlook(now) };
  }
}

export interface MemoryStoreOptions {
  readonly clock: Clock;
  readonly terminalsPerAccount: number;
}

/** The store of a single replica: the same guarantees as the Redis store, but lost when the process ends. */
export function createMemoryStore({ clock, terminalsPerAccount }: MemoryStoreOptions): TokenStore {
  const announcements = new MemoryAnnouncements(clock);
  const schedule = new MemorySchedule();
  const accounts = new MemoryAccounts(clock, terminalsPerAccount, schedule, announcements);
  const terminals = new MemoryTerminals(clock, accounts, schedule, announcements);
  const rates = new MemoryRates(clock);
  return {
    terminals,
    accounts,
    dueQueue: new MemoryDueQueue(clock, accounts, schedule, terminals),
    rateLimiter: rates,
    loginQueue: rates,
    announcements,
    health: { ping: async () => undefined, onReturn: () => undefined },
    close: async () => undefined,
  };
}
