import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../token/clock.ts';
import type { ErrorCode } from '../../token/errors.ts';
import type { Announcement, DueClaims, Lease, LeaseAnswer, TokenStore } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import type { SubjectId } from '../../token/subject.ts';

/** Most logouts and failed logins whose generation is remembered. */
const FENCES = 100_000;

interface HeldLease {
  readonly ownerId: string;
  readonly until: number;
}

/** The store of a single replica: the same promises as the one in Redis, kept in this process and lost with it. */
export class MemoryTokenStore implements TokenStore {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #records = new Map<SubjectId, TokenRecord>();
  readonly #leases = new Map<SubjectId, HeldLease>();
  readonly #fences = new LRUCache<SubjectId, number>({ max: FENCES });
  readonly #due = new Map<SubjectId, number>();
  readonly #listeners: ((announcement: Announcement) => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
  }

  async read(id: SubjectId): Promise<TokenRecord | undefined> {
    return this.#records.get(id);
  }

  async acquire(id: SubjectId, durationMs: number): Promise<LeaseAnswer> {
    const now = this.#clock.now();
    const held = this.#leases.get(id);
    if (held && held.until > now) return { lease: undefined, heldForMs: held.until - now };
    const generation = this.#nextGeneration(id);
    const lease = { id, ownerId: randomUUID(), generation, durationMs };
    this.#fences.set(id, generation);
    this.#hold(lease);
    return { lease, current: this.#records.get(id) };
  }

  async extend(lease: Lease): Promise<boolean> {
    if (!this.#owns(lease)) return false;
    this.#hold(lease);
    return true;
  }

  async save(lease: Lease, record: TokenRecord, dueAt: number): Promise<boolean> {
    const { id, generation } = lease;
    const current = this.#records.get(id)?.generation ?? 0;
    if (this.#owns(lease)) this.#leases.delete(id);
    if (current === generation) return true;
    if (current > generation || (this.#fences.get(id) ?? 0) > generation) return false;
    this.#records.set(id, record);
    this.#due.set(id, dueAt);
    this.#fences.delete(id);
    this.#announce({ kind: 'saved', id, generation });
    return true;
  }

  async release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode): Promise<void> {
    const { id, generation } = lease;
    if (!this.#owns(lease)) return;
    this.#leases.delete(id);
    if (dueAt !== undefined) this.#reschedule(id, dueAt);
    if (failure) this.#announce({ kind: 'failed', id, generation, code: failure });
  }

  async remove(id: SubjectId): Promise<void> {
    const generation = this.#nextGeneration(id);
    this.#fences.set(id, generation);
    this.#records.delete(id);
    this.#due.delete(id);
    this.#announce({ kind: 'removed', id, generation });
  }

  async markRead(id: SubjectId, generation: number): Promise<void> {
    const record = this.#records.get(id);
    if (record?.generation === generation) this.#records.set(id, { ...record, read: true });
  }

  async claimDue(limit: number, visibilityMs: number): Promise<DueClaims> {
    const now = this.#clock.now();
    const ids = [...this.#due]
      .filter(([, at]) => at <= now)
      .sort(([, one], [, other]) => one - other)
      .slice(0, limit)
      .map(([id]) => id);
    for (const id of ids) this.#due.set(id, now + visibilityMs);
    let next: number | undefined;
    for (const at of this.#due.values()) next = Math.min(next ?? at, at);
    return { ids, nextInMs: next === undefined ? undefined : Math.max(0, next - now) };
  }

  async schedule(id: SubjectId, dueAt: number): Promise<void> {
    this.#reschedule(id, dueAt);
  }

  async sweep(id: SubjectId): Promise<void> {
    const record = this.#records.get(id);
    if (record && record.token.expiresAt > this.#clock.now()) return;
    this.#records.delete(id);
    this.#due.delete(id);
  }

  subscribe(listener: (announcement: Announcement) => void): void {
    this.#listeners.push(listener);
  }

  announcedSince(): number {
    return this.#startedAt;
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  #nextGeneration(id: SubjectId): number {
    const newest = Math.max(this.#fences.get(id) ?? 0, this.#records.get(id)?.generation ?? 0);
    return Math.max(this.#clock.now(), newest + 1);
  }

  #hold({ id, ownerId, durationMs }: Lease): void {
    const until = this.#clock.now() + durationMs;
    this.#leases.set(id, { ownerId, until });
    this.#reschedule(id, until);
  }

  #owns({ id, ownerId }: Lease): boolean {
    const held = this.#leases.get(id);
    return held?.ownerId === ownerId && held.until > this.#clock.now();
  }

  #reschedule(id: SubjectId, dueAt: number): void {
    if (this.#due.has(id)) this.#due.set(id, dueAt);
  }

  #announce(announcement: Announcement): void {
    for (const listener of this.#listeners) listener(announcement);
  }
}
