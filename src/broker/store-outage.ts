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
  readonly #missing = new Map<SubjectId, TokenRecord>();
  #flushing = false;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: WriteBackOptions) {
    this.#options = options;
    options.health.onReturn((lostData) => {
      if (lostData) for (const record of options.cache.records()) this.#remember(record);
      void this.#flush();
    });
  }

  /** Writes the record as soon as the store accepts it, unless the token ends first. */
  add(record: TokenRecord): void {
    this.#remember(record);
    this.#retryLater();
  }

  /** Gives up what is still missing. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
  }

  #remember(record: TokenRecord): void {
    const id = subjectId(record.subject);
    const other = this.#missing.get(id);
    if (!other || other.generation < record.generation) this.#missing.set(id, record);
  }

  async #flush(): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    let written = 0;
    try {
      while (this.#missing.size > 0) {
        const batch = [...this.#missing].slice(0, BATCH_SIZE);
        await Promise.all(batch.map(([id, record]) => this.#write(id, record)));
        written += batch.length;
      }
    } catch {
      this.#retryLater();
    } finally {
      this.#flushing = false;
      if (written > 0) this.#options.log.info({ tokens: written }, 'tokens were written back to the store');
    }
  }

  async #write(id: SubjectId, record: TokenRecord): Promise<void> {
    const { terminals, policy, clock, observer } = this.#options;
    if (clock.now() < servableUntil(record.token)) {
      observer.wroteBack(await terminals.restore(record, dueAt(record, policy, id)));
    }
    if (this.#missing.get(id) === record) this.#missing.delete(id);
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
    const canWait = cause === 'due' && known && clock.now() < waitFrom(known.token);
    // The country of a token that has ended still applies: it was pinned at the account's first login.
    const region = (known ?? cache.getStale(request.id)?.served.record)?.region ?? request.region;
    if (canWait || !region) throw storeError;
    const token = await vendor.login({ subject, region, budgetMs, urgency: 'foreground' });
    const generation = this.#nextGeneration(request);
    const record = { subject, region, token, generation, read: true, unreadRenewals: 0 };
    const erasedAt = cache.erasedAt(request.id);
    cache.put(record, Number.NEGATIVE_INFINITY, erasedAt, request.id);
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
