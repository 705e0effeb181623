import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import { servableUntil } from '../token/lifetime.ts';
import type { Log } from '../token/log.ts';
import type { Lease, TokenStore, VendorLogin } from '../token/ports.ts';
import { dueAt, type RefreshPolicy } from '../token/refresh-policy.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { Subject, SubjectId } from '../token/subject.ts';
import { AnnouncementBoard } from './announcement-board.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { retryAt } from './retry-at.ts';
import type { TokenCache } from './token-cache.ts';
import { within } from './within.ts';

/** The lease outlives the login it is for by this much: enough to write the token. */
const LEASE_MARGIN_MS = 1_000;
const SHORTEST_BUDGET_MS = 1_000;
/** How often a waiter looks for the token by itself: announcements may get lost. */
const POLL_MS = 250;

export interface RenewalRequest {
  readonly id: SubjectId;
  readonly subject: Subject;
  readonly region: string;
  /** The token to be replaced, where there is one. */
  readonly known: TokenRecord | undefined;
  /** Whether an app is waiting for the token, or it is renewed unasked. */
  readonly askedFor: boolean;
  /** Whether a record somebody else obtained will do in place of a login. */
  readonly satisfies: (record: TokenRecord) => boolean;
}

export interface RenewalOptions {
  readonly store: TokenStore;
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  /** Most ms one login may take, its repetitions included. */
  readonly loginBudgetMs: number;
}

/** The one way a token comes to be: lease, re-read, vendor login, fenced write, announcement. */
export class Renewal {
  readonly #options: RenewalOptions;
  readonly #board: AnnouncementBoard;
  readonly #leases: LeaseKeeper;
  readonly #flights = new Map<SubjectId, Promise<TokenRecord | undefined>>();

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#board = new AnnouncementBoard(options.store);
    this.#leases = new LeaseKeeper(options.store, options.log);
  }

  /**
   * A record that satisfies the request, after at most one login over all replicas at a time. It goes on when its
   * caller has gone, since others may wait for it. `undefined`: nobody asked, and another replica is already at it.
   * @throws BrokerError what the vendor or the store says; `session_forbidden` when the terminal was logged out meanwhile
   */
  async renew(request: RenewalRequest): Promise<TokenRecord | undefined> {
    for (let joined = this.#flights.get(request.id); joined; joined = this.#flights.get(request.id)) {
      const record = await joined;
      if (record && request.satisfies(record)) return record;
    }
    const flight = this.#fly(request).finally(() => this.#flights.delete(request.id));
    this.#flights.set(request.id, flight);
    return flight;
  }

  /** Waits until nothing is under way, at most `timeoutMs`; gives back what leases are still held then. */
  async settle(timeoutMs: number): Promise<void> {
    await within(timeoutMs, Promise.allSettled(this.#flights.values()));
    await this.#leases.releaseAll();
  }

  async #fly(request: RenewalRequest): Promise<TokenRecord | undefined> {
    const { store, clock, loginBudgetMs } = this.#options;
    const deadline = clock.now() + 2 * loginBudgetMs + LEASE_MARGIN_MS;
    while (clock.now() < deadline) {
      const budgetMs = this.#budgetFor(request.known);
      const answer = await store.acquire(request.id, budgetMs + LEASE_MARGIN_MS);
      if (answer.lease) return this.#logIn(request, answer.lease, answer.current, budgetMs);
      if (!request.askedFor) return undefined;
      const record = await this.#awaitOthers(request, Math.min(POLL_MS, answer.heldForMs));
      if (record) return record;
    }
    throw new BrokerError('vendor_timeout', { retryAfter: 1 });
  }

  /** What the replica that holds the lease came to, if it did within `waitMs`. */
  async #awaitOthers(request: RenewalRequest, waitMs: number): Promise<TokenRecord | undefined> {
    const news = await this.#board.next(request.id, waitMs);
    if (news?.kind === 'failed') throw new BrokerError(news.code, { retryAfter: 1 });
    const record = await this.#options.store.read(request.id);
    return record && request.satisfies(record) ? record : undefined;
  }

  async #logIn(
    request: RenewalRequest,
    lease: Lease,
    current: TokenRecord | undefined,
    budgetMs: number,
  ): Promise<TokenRecord> {
    const { store, vendor, policy } = this.#options;
    const { id, subject, region, askedFor } = request;
    if (current && request.satisfies(current)) {
      await store.release(lease, dueAt(current, policy));
      return current;
    }
    this.#leases.keep(lease);
    try {
      const token = await vendor.login({ subject, region, budgetMs });
      const unreadRenewals = askedFor ? 0 : 1 + (current && !current.read ? current.unreadRenewals : 0);
      const { generation } = lease;
      return await this.#save(request, lease, { subject, region, token, generation, read: askedFor, unreadRenewals });
    } catch (error) {
      await this.#giveUp(id, lease, current, error);
      throw error;
    } finally {
      this.#leases.letGo(lease);
    }
  }

  async #save(request: RenewalRequest, lease: Lease, record: TokenRecord): Promise<TokenRecord> {
    const { store, policy, cache, log } = this.#options;
    try {
      if (await store.save(lease, record, dueAt(record, policy))) {
        cache.renew(record);
        return record;
      }
    } catch (error) {
      log.error({ subject: request.id, err: error }, 'a token was obtained but could not be stored');
      cache.put(record, Number.NEGATIVE_INFINITY);
      return record;
    }
    const newer = await store.read(request.id);
    if (newer && request.satisfies(newer)) return newer;
    throw new BrokerError('session_forbidden', {
      detail: 'the terminal was logged out while its token was being obtained',
    });
  }

  async #giveUp(id: SubjectId, lease: Lease, current: TokenRecord | undefined, error: unknown): Promise<void> {
    const { store, clock, log } = this.#options;
    const code = error instanceof BrokerError ? error.code : 'internal';
    const next = current && retryAt(current.token, clock);
    try {
      await store.release(lease, next, code);
      if (code === 'account_disabled') await store.remove(id);
    } catch (storeError) {
      log.warn({ subject: id, err: storeError }, 'a lease could not be given back; it runs out by itself');
    }
  }

  /** A login that renews leaves time for another replica to try again before the token ends. */
  #budgetFor(known: TokenRecord | undefined): number {
    const { clock, loginBudgetMs } = this.#options;
    const leftMs = known ? servableUntil(known.token) - clock.now() : 0;
    return leftMs <= 0 ? loginBudgetMs : Math.min(loginBudgetMs, Math.max(SHORTEST_BUDGET_MS, leftMs / 2));
  }
}
