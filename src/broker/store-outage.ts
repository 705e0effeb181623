import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { StoreHealth, TerminalStore, VendorLogin } from '../token/ports.ts';
import { dueAt, type RefreshPolicy, servableUntil, waitFrom } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { type SubjectId, subjectId } from '../token/subject.ts';
import type { RenewalRequest, Renewed } from './requests.ts';
import type { TokenCache } from './token-cache.ts';

const RETRY_MS = 1_000;
const AT_A_TIME = 64;

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
 * Brings into the store what it missed: tokens obtained while it was away, and all that is in memory when it has come
 * back without its data. The store refuses whatever is older than what stands.
 */
export class WriteBack {
  readonly #options: WriteBackOptions;
  readonly #missing = new Map<SubjectId, TokenRecord>();
  #flushing = false;

  constructor(options: WriteBackOptions) {
    this.#options = options;
    options.health.onReturn((lostData) => {
      if (lostData) for (const record of options.cache.records()) this.#add(record);
      void this.#flush();
    });
  }

  /** Writes the record as soon as the store takes it, unless it ends before. */
  keep(record: TokenRecord): void {
    this.#add(record);
    this.#tryLater();
  }

  #add(record: TokenRecord): void {
    const id = subjectId(record.subject);
    const other = this.#missing.get(id);
    if (!other || other.generation < record.generation) this.#missing.set(id, record);
  }

  async #flush(): Promise<void> {
    if (this.#flushing || this.#missing.size === 0) return;
    this.#flushing = true;
    let written = 0;
    try {
      while (this.#missing.size > 0) {
        const some = [...this.#missing].slice(0, AT_A_TIME);
        await Promise.all(some.map(([id, record]) => this.#write(id, record)));
        written += some.length;
      }
    } catch {
      this.#tryLater();
    } finally {
      this.#flushing = false;
      if (written > 0) this.#options.log.info({ tokens: written }, 'tokens were written back to the store');
    }
  }

  async #write(id: SubjectId, record: TokenRecord): Promise<void> {
    const { terminals, policy, clock, observer } = this.#options;
    if (clock.now() < servableUntil(record.token))
      observer.wroteBack(await terminals.restore(record, dueAt(record, policy, id)));
    if (this.#missing.get(id) === record) this.#missing.delete(id);
  }

  #tryLater(): void {
    setTimeout(() => void this.#flush(), RETRY_MS).unref();
  }
}

export interface LoginWithoutLeaseOptions {
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly writeBack: WriteBack;
  readonly clock: Clock;
}

/**
 * A login while the store cannot be asked: without a lease, so another replica may make the same one; within this
 * replica's share of the login budget. Only for what cannot wait for the store.
 */
export class LoginWithoutLease {
  readonly #options: LoginWithoutLeaseOptions;

  constructor(options: LoginWithoutLeaseOptions) {
    this.#options = options;
  }

  /**
   * @param storeError what to throw where the login can wait
   * @throws BrokerError what the vendor says
   */
  async logIn(request: RenewalRequest, budgetMs: number, storeError: unknown): Promise<Renewed> {
    const { vendor, cache, writeBack, clock } = this.#options;
    const { subject, known, cause } = request;
    const canWait = cause === 'due' && known && clock.now() < waitFrom(known.token);
    const region = known?.region ?? request.region;
    if (canWait || !region) throw storeError;
    const token = await vendor.login({ subject, region, budgetMs, urgency: 'foreground' });
    const generation = Math.max((known?.generation ?? 0) + 1, Math.floor(clock.now()));
    const record = { subject, region, token, generation, read: true, unreadRenewals: 0 };
    const erasedAt = cache.erasedAt(request.id);
    cache.put(record, Number.NEGATIVE_INFINITY, erasedAt, request.id);
    writeBack.keep(record);
    return { record, outcome: 'login', erasedAt };
  }
}
