import type { Clock, Timer } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { StoreHealth, TerminalStore, VendorLogin } from '../token/ports.ts';
import { dueAt, type RefreshPolicy, servableUntil, waitFrom } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { type SubjectId, subjectId } from '../token/subject.ts';
import type { RenewalRequest, Renewed } from './requests.ts';
import type { TokenCache } from './token-cache.ts';

const RETRY_MS = 1_000;
const BATCH_SIZE = 64;
/**
 * Maximum number of waiting records. With the default `VENDOR_MAX_RPS`, the logins of a replica need five hours without the
 * store to reach it.
 */
const MAX_MISSING = 50_000;

export interface WriteBackOptions {
  readonly terminals: TerminalStore;
  readonly health: StoreHealth;
  readonly cache: TokenCache;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
}

/**
 * Writes to the store what it missed: tokens obtained during an outage, and every token in memory after the store has
 * lost its data. The store refuses a record that is older than its own.
 */
export class WriteBack {
  readonly #options: WriteBackOptions;
  /** The record that has waited longest comes first. */
  readonly #missing = new Map<SubjectId, TokenRecord>();
  /** The tokens in memory that the store has lost. They are read one after the other, because they may be many. */
  #lost: Iterator<[SubjectId, TokenRecord], undefined> | undefined;
  #flushing = false;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: WriteBackOptions) {
    this.#options = options;
    options.health.onReturn((lostData) => {
      if (lostData) this.#lost = options.cache.records(options.clock.now());
      void this.#flush();
    });
  }

  /** Writes the record as soon as the store accepts it, unless the token ends first or too many newer ones wait. */
  add(record: TokenRecord): void {
    this.#remember(subjectId(record.subject), record);
    this.#retryLater();
  }

  /** Gives up what is still missing. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
  }

  #remember(id: SubjectId, record: TokenRecord): void {
    const other = this.#missing.get(id);
    if (other && other.generation >= record.generation) return;
    this.#missing.set(id, record);
    if (this.#missing.size <= MAX_MISSING) return;
    const [oldest] = this.#missing.keys();
    if (oldest !== undefined) this.#missing.delete(oldest);
  }

  async #flush(): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    let written = 0;
    for (let batch = this.#takeBatch(); batch.length > 0; batch = this.#takeBatch()) {
      const results = await Promise.all(batch.map(([id, record]) => this.#write(id, record)));
      const accepted = results.filter(Boolean).length;
      written += accepted;
      if (accepted === 0) {
        this.#retryLater();
        break;
      }
    }
    this.#flushing = false;
    if (written > 0) this.#options.log.info({ tokens: written }, 'tokens were written back to the store');
  }

  /** Takes the next records, and drops those whose token may no longer be served. */
  #takeBatch(): [SubjectId, TokenRecord][] {
    const now = this.#options.clock.now();
    const batch: [SubjectId, TokenRecord][] = [];
    for (const [id, record] of this.#take()) {
      if (now < servableUntil(record.token)) batch.push([id, record]);
      if (batch.length === BATCH_SIZE) break;
    }
    return batch;
  }

  /** First the records that have waited longest: if the store fails again, no more of the lost tokens join them. */
  *#take(): Generator<[SubjectId, TokenRecord]> {
    for (const entry of this.#missing) {
      this.#missing.delete(entry[0]);
      yield entry;
    }
    for (let next = this.#lost?.next(); next && !next.done; next = this.#lost?.next()) yield next.value;
  }

  /** Returns whether the store has answered. Otherwise the record waits again, behind all others. */
  async #write(id: SubjectId, record: TokenRecord): Promise<boolean> {
    const { terminals, policy, observer } = this.#options;
    try {
      const due = dueAt(record, policy, id);
      const outcome = await terminals.restore(record, due);
      // Another replica may have restored it before, as unread. A token of a login by an app is never unread.
      if (outcome === 'saved' && record.read && record.unreadRenewals > 0) {
        await terminals.markRead(id, record.generation, due);
      }
      observer.wroteBack(outcome);
      return true;
    } catch {
      this.#remember(id, record);
      return false;
    }
  }

  #retryLater(): void {
    if (this.#stopped) return;
    // A running timer stays as it is: under constant logins, a timer that starts anew each time would never end.
    this.#retry ??= this.#options.clock.setTimer(() => {
      this.#retry = undefined;
      void this.#flush();
    }, RETRY_MS);
  }
}

/** Largest expected difference between the clocks of a replica and of the store. */
const CLOCK_TOLERANCE_MS = 5_000;

export interface LoginWithoutLeaseOptions {
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly writeBack: WriteBack;
  readonly clock: Clock;
  readonly loginBudgetMs: number;
}

/**
 * Logs in during an outage of the store. There is no lease, so another replica may make the same login. The login takes
 * its place from this replica's share of the login budget. Only for requests that cannot wait for the store.
 */
export class LoginWithoutLease {
  readonly #options: LoginWithoutLeaseOptions;

  constructor(options: LoginWithoutLeaseOptions) {
    this.#options = options;
  }

  /**
   * @param storeError thrown when the request can wait for the store
   * @throws BrokerError the vendor's error
   */
  async logIn(request: RenewalRequest, storeError: unknown): Promise<Renewed> {
    const { vendor, cache, writeBack, clock, loginBudgetMs: budgetMs } = this.#options;
    const { subject, known, cause } = request;
    const isDue = cause === 'due' && known && clock.now() < waitFrom(known.token);
    const canWait = isDue || cause === 'background';
    // The country of a token that has ended still applies: it was pinned at the account's first login.
    const region = (known ?? cache.getStale(request.id)?.served.record)?.region ?? request.region;
    if (canWait || !region) throw storeError;
    const token = await vendor.login({ subject, region, budgetMs, urgency: 'foreground' });
    const generation = this.#nextGeneration(request);
    const record = { subject, region, token, generation, read: true, unreadRenewals: 0 };
    const erasedAt = cache.erasedAt(request.id);
    cache.put(record, { id: request.id, checkedAt: Number.NEGATIVE_INFINITY, erasedAt });
    writeBack.add(record);
    return { record, outcome: 'login', checkedAt: Number.NEGATIVE_INFINITY, erasedAt };
  }

  /**
   * Newer than everything this replica knows of, but never newer than the next generation of the store. The store's
   * clock is not known now, so the own clock counts with a tolerance.
   */
  #nextGeneration({ id, known }: RenewalRequest): number {
    const { cache, clock } = this.#options;
    const newest = Math.max(known?.generation ?? 0, cache.oldestValid(id));
    return Math.max(newest + 1, Math.floor(clock.now()) - CLOCK_TOLERANCE_MS);
  }
}
