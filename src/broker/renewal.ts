import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import { Patience } from '../token/patience.ts';
import type { Lease, LeaseAnswer, TokenStore, VendorLogin } from '../token/ports.ts';
import { dueAt, type RefreshPolicy } from '../token/refresh-policy.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { SubjectId } from '../token/subject.ts';
import { within } from '../token/within.ts';
import { AnnouncementBoard } from './announcement-board.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { loginBudget } from './login-budget.ts';
import type { LoginLimits } from './login-limits.ts';
import type { RenewalRequest, Renewed } from './renewal-request.ts';
import { retryAt } from './retry-at.ts';
import { SoloLogin } from './solo-login.ts';
import type { TokenCache } from './token-cache.ts';
import type { WriteBack } from './write-back.ts';

/** The lease outlives the login it is for by this much: enough to write the token. */
const LEASE_MARGIN_MS = 1_000;
/** How often a waiter looks for the token by itself: announcements may get lost. */
const POLL_MS = 250;
/**
 * Most ms a login waits for the store in all, from the lease to the token's write; a slow store goes on with that. With
 * what a read has waited before, an app waits for half a second at most.
 */
const PATIENCE_MS = 200;

const REGION_NEEDED =
  'regRegion: the country of the account is not known; give it as two capital letters (ISO 3166-1), e.g. CN';

interface GrantedLease extends Extract<LeaseAnswer, { kind: 'granted' }> {
  readonly budgetMs: number;
  readonly patience: Patience;
}

export interface RenewalOptions {
  readonly store: TokenStore;
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly limits: LoginLimits;
  readonly writeBack: WriteBack;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
  /** Most ms one login may take, its repetitions included. */
  readonly loginBudgetMs: number;
}

/** The one way a token comes to be: lease, re-read, vendor login, fenced write, announcement. */
export class Renewal {
  readonly #options: RenewalOptions;
  readonly #board: AnnouncementBoard;
  readonly #leases: LeaseKeeper;
  readonly #solo: SoloLogin;
  readonly #flights = new Map<SubjectId, Promise<Renewed | undefined>>();

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#board = new AnnouncementBoard(options.store);
    this.#leases = new LeaseKeeper(options.store, options.log);
    this.#solo = new SoloLogin(options);
  }

  /**
   * A record that satisfies the request, after at most one login over all replicas at a time. It goes on when its
   * caller has gone, since others may wait for it. `undefined`: nobody asked, and another replica is already at it.
   * @throws BrokerError what the vendor or the store says; `request_invalid` when no country is known;
   *   `rate_limited`; `terminal_limit`; `session_forbidden` when the terminal was logged out meanwhile
   */
  async renew(request: RenewalRequest): Promise<Renewed | undefined> {
    for (let joined = this.#flights.get(request.id); joined; joined = this.#flights.get(request.id)) {
      const renewed = await joined;
      if (renewed && request.satisfies(renewed.record)) return { record: renewed.record, outcome: 'waited' };
    }
    const { observer } = this.#options;
    const flight = this.#fly(request).finally(() => this.#flights.delete(request.id));
    this.#flights.set(request.id, flight);
    flight.then(
      (renewed) => observer.renewalEnded(request.cause, renewed?.outcome ?? 'left'),
      (error: unknown) => observer.renewalFailed(request.cause, error),
    );
    return flight;
  }

  /** Waits until nothing is under way, at most `timeoutMs`; gives back what leases are still held then. */
  async settle(timeoutMs: number): Promise<void> {
    await within(timeoutMs, Promise.allSettled(this.#flights.values()));
    await this.#leases.releaseAll();
  }

  async #fly(request: RenewalRequest): Promise<Renewed | undefined> {
    const { store, clock, observer, loginBudgetMs } = this.#options;
    const deadline = clock.now() + 2 * loginBudgetMs + LEASE_MARGIN_MS;
    while (clock.now() < deadline) {
      const budgetMs = loginBudget(request.known, clock.now(), loginBudgetMs);
      const patience = new Patience(clock, PATIENCE_MS);
      const acquiring = store.acquire(request.id, budgetMs + LEASE_MARGIN_MS, request.known).catch(asUnavailable);
      const answer = (await patience.for(acquiring)) ?? asUnavailable(new BrokerError('store_unavailable'));
      if (answer.kind === 'unavailable') {
        return { record: await this.#solo.logIn(request, budgetMs, patience, answer.error), outcome: 'login' };
      }
      if (answer.kind === 'granted') return this.#use(request, { ...answer, budgetMs, patience });
      if (answer.kind === 'terminal_limit') throw new BrokerError('terminal_limit');
      if (answer.kind === 'cooling') {
        observer.coolingDown(answer.code);
        throw new BrokerError(answer.code, { retryAfter: Math.ceil(answer.forMs / 1_000) });
      }
      if (request.cause === 'unasked') return undefined;
      const record = await this.#awaitOthers(request, Math.min(POLL_MS, answer.heldForMs));
      if (record) return { record, outcome: 'waited' };
    }
    throw new BrokerError('vendor_timeout', { retryAfter: 1 });
  }

  /** What the replica that holds the lease came to, if it did within `waitMs`. */
  async #awaitOthers(request: RenewalRequest, waitMs: number): Promise<TokenRecord | undefined> {
    const news = await this.#board.next(request.id, waitMs);
    if (news?.kind === 'failed') throw new BrokerError(news.code, { retryAfter: 1 });
    // Where the store has gone away meanwhile, trying to get the lease tells.
    const stored = await this.#options.store.read(request.id).catch(() => undefined);
    return stored?.record && request.satisfies(stored.record) ? stored.record : undefined;
  }

  async #use(request: RenewalRequest, granted: GrantedLease): Promise<Renewed> {
    const { store, policy } = this.#options;
    const { lease, current } = granted;
    if (current && request.satisfies(current)) {
      await store.release(lease, dueAt(current, policy));
      return { record: current, outcome: 'waited' };
    }
    this.#leases.keep(lease);
    try {
      return await this.#logIn(request, granted);
    } catch (error) {
      await this.#giveUp(lease, current, error);
      throw error;
    } finally {
      this.#leases.letGo(lease);
    }
  }

  async #logIn(request: RenewalRequest, granted: GrantedLease): Promise<Renewed> {
    const { vendor, limits } = this.#options;
    const { subject, cause } = request;
    const { lease, current, budgetMs, patience } = granted;
    const region = granted.region ?? request.region;
    if (!region) throw new BrokerError('request_invalid', { detail: REGION_NEEDED });
    if (cause === 'new' || cause === 'refused') await limits.admit(lease.id, cause, patience);
    const read = cause !== 'unasked';
    const urgency = read ? 'asked' : 'unasked';
    const token = await vendor.login({ subject, region, budgetMs, urgency, patience });
    const unreadRenewals = read ? 0 : 1 + (current && !current.read ? current.unreadRenewals : 0);
    const record = { subject, region, token, generation: lease.generation, read, unreadRenewals };
    return this.#save(request, granted, record);
  }

  async #save(request: RenewalRequest, { lease, patience }: GrantedLease, record: TokenRecord): Promise<Renewed> {
    const { store, policy, cache, writeBack, log } = this.#options;
    const saving = store.save(lease, record, dueAt(record, policy)).catch((error: unknown) => {
      log.error(
        { subject: lease.id, err: error },
        'a token was obtained but could not be stored: it is written back later',
      );
      writeBack.keep(record);
      return 'later' as const;
    });
    const outcome = (await patience.for(saving)) ?? 'later';
    if (outcome === 'terminal_limit') throw new BrokerError('terminal_limit');
    if (outcome !== 'outdated') {
      cache.renew(record);
      return { record, outcome: 'login' };
    }
    const { record: newer } = await store.read(lease.id);
    if (newer && request.satisfies(newer)) return { record: newer, outcome: 'waited' };
    throw new BrokerError('session_forbidden', {
      detail: 'the terminal was logged out while its token was being obtained',
    });
  }

  async #giveUp(lease: Lease, current: TokenRecord | undefined, error: unknown): Promise<void> {
    const { store, clock, log } = this.#options;
    const { id } = lease;
    const code = error instanceof BrokerError ? error.code : 'internal';
    const next = current && retryAt(current.token, code, clock);
    try {
      await store.release(lease, next, code);
      if (code === 'account_disabled') await store.remove(id);
    } catch (storeError) {
      log.warn({ subject: id, err: storeError }, 'a lease could not be given back; it runs out by itself');
    }
  }
}

function asUnavailable(error: unknown): { readonly kind: 'unavailable'; readonly error: unknown } {
  return { kind: 'unavailable', error };
}
