import { type Clock, raceTimeout, TimeBudget } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import type { Announcement, AnnouncementFeed, DueClaim, LeaseAnswer } from '../token/ports.ts';
import { LEASE_MS, retryAt } from '../token/renewal-timing.ts';
import type { SubjectId } from '../token/subject.ts';
import type { Tracer } from '../token/tracer.ts';
import { type GrantedLease, loggedOutMeanwhile, STORE_WAIT_MS, TokenLogin, type TokenLoginOptions } from './login.ts';
import { type RenewalRequest, type Renewed, shouldRetryAlone } from './requests.ts';

/** How often a waiting replica asks for the lease again, because announcements may get lost. */
const POLL_MS = 250;
/** An announcement may arrive this much later than the lease that became free with it. */
const ANNOUNCEMENT_DELAY_MS = 20;

export interface RenewalOptions extends TokenLoginOptions {
  readonly announcements: AnnouncementFeed;
  readonly observer: Observer;
  readonly tracer: Tracer;
}

interface RunningRenewal {
  readonly request: RenewalRequest;
  readonly result: Promise<Renewed>;
  /** The last logout or erasure of the subject that was known when it began. */
  readonly outdatedUntil: number;
}

type Acquired = LeaseAnswer | { readonly kind: 'unavailable'; readonly error: unknown };

/**
 * Renews tokens. One process runs at most one renewal per subject; leases extend this to all replicas.
 *
 *     wait for the running renewals of the subject; return the first token that will do
 *     until the deadline: ask the store for the lease
 *       granted:        if the stored token will do, release the lease and return the token
 *                       log in, and save the token with the generation of the lease
 *                       saved: return it; logged out or erased: fail; lease lost: ask again
 *       no answer:      log in without a lease; the write-back stores the token
 *       held:           wait for the announcement of the holder, and read the store
 *                       the token will do: return it; its login failed: fail too; otherwise: ask again
 *       cooling, limit: fail
 */
export class Renewal {
  readonly #options: RenewalOptions;
  readonly #waiters: AnnouncementWaiters;
  readonly #login: TokenLogin;
  readonly #running = new Map<SubjectId, RunningRenewal>();
  readonly #unlimited: TimeBudget;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#unlimited = new TimeBudget(options.clock, Number.POSITIVE_INFINITY);
    this.#waiters = new AnnouncementWaiters(options.announcements, options.clock);
    this.#login = new TokenLogin(options);
  }

  /**
   * Returns a record that satisfies the request. Over all replicas, at most one login per subject runs at a time. The
   * login continues when its caller disconnects, because other callers may wait for it.
   * @throws BrokerError `request_invalid` when the country is unknown; `rate_limited`; `terminal_limit`;
   *   `session_forbidden` when the terminal was logged out during the login, on any replica; `session_invalid` when the account was
   *   erased after the session was issued; or the error of the vendor or the store
   */
  renew(request: RenewalRequest): Promise<Renewed> {
    return this.#options.tracer.span('renewal', () => this.#joinOrStart(request));
  }

  async #joinOrStart(request: RenewalRequest): Promise<Renewed> {
    const { tracer } = this.#options;
    // Waits for the subject's running renewals, one after the other, until one will do or none is left.
    for (let other = this.#running.get(request.id); other; other = this.#running.get(request.id)) {
      const running = other;
      const renewed = await tracer.span('lease wait', () => this.#join(running, request));
      if (renewed && request.satisfies(renewed.record)) return { ...renewed, outcome: 'waited' };
    }
    return this.#start(request, this.#acquireAndLogIn(request));
  }

  /** Whether this replica renews the token of a claim now, or knows that it was renewed since it was claimed. */
  isOvertaken({ record, lease: { id } }: DueClaim): boolean {
    const { cache, writeBack } = this.#options;
    return this.#running.has(id) || writeBack.hasRecordOf(id) || cache.knowsNewerThan(id, record.generation);
  }

  /**
   * Renews a claimed token. Reads of the same subject wait for it.
   * @param askedAt when the store was asked for the claim, by the monotonic clock
   * @throws BrokerError the error of the vendor or the store
   */
  renewClaimed({ lease, record, region, erasedAt }: DueClaim, askedAt: number): Promise<Renewed> {
    const { subject, generation } = record;
    const request: RenewalRequest = {
      id: lease.id,
      subject,
      region,
      known: record,
      cause: 'background',
      urgency: 'background',
      sessionIssuedAt: undefined,
      satisfies: (other) => other.generation > generation && !other.suspect,
    };
    const granted = { kind: 'granted', lease, current: record, region, erasedAt } as const;
    const logIn = async (): Promise<Renewed> => {
      const renewed = await this.#login.underLease(request, { ...granted, askedAt, timeBudget: this.#unlimited });
      return renewed ?? this.#acquireAndLogIn(request);
    };
    return this.#options.tracer.trace('renewal', () => this.#start(request, logIn()));
  }

  /** Releases a claim without a renewal. @param dueAt epoch ms at which the worker looks at the record next */
  postpone({ lease }: DueClaim, dueAt: number): Promise<void> {
    return this.#login.release({ lease, timeBudget: this.#unlimited }, dueAt);
  }

  /** Waits at most `timeoutMs` for the running renewals, then releases every lease that is still held. */
  async settle(timeoutMs: number): Promise<void> {
    const results = [...this.#running.values()].map(({ result }) => result);
    await raceTimeout(this.#options.clock, timeoutMs, Promise.allSettled(results));
    await this.#login.releaseAll();
  }

  /** Makes a running renewal visible to {@link renew}, unless the subject already has one. */
  #start(request: RenewalRequest, result: Promise<Renewed>): Promise<Renewed> {
    const { cache, observer } = this.#options;
    const running = { request, result, outdatedUntil: cache.outdatedUntil(request.id) };
    if (!this.#running.has(request.id)) this.#running.set(request.id, running);
    const end = (): void => {
      if (this.#running.get(request.id) === running) this.#running.delete(request.id);
    };
    result.then(
      ({ outcome }) => {
        end();
        observer.renewalEnded(request.cause, outcome);
      },
      (error: unknown) => {
        end();
        observer.renewalFailed(request.cause, error);
      },
    );
    return result;
  }

  /** @returns `undefined` if the other renewal has failed, for a reason that does not concern this request */
  async #join(other: RunningRenewal, request: RenewalRequest): Promise<Renewed | undefined> {
    // A logout that ends the other renewal came before this request.
    const isLater = this.#options.cache.outdatedUntil(request.id) > other.outdatedUntil;
    try {
      return await other.result;
    } catch (error) {
      if ((isLater && isLoggedOut(error)) || shouldRetryAlone(request, other.request, error)) return undefined;
      throw error;
    }
  }

  async #acquireAndLogIn(request: RenewalRequest): Promise<Renewed> {
    const { terminals, clock, observer, tracer, loginBudgetMs } = this.#options;
    const beganAt = terminals.clockFor(request.id) ?? 0;
    // Until then it may take the lease. Its own login may end one login budget later.
    const deadline = clock.monotonic() + 2 * loginBudgetMs + LEASE_MS;
    let announced: Promise<SubjectAnnouncement | undefined> | undefined;
    while (clock.monotonic() < deadline) {
      const [timeBudget, askedAt] = [new TimeBudget(clock, STORE_WAIT_MS), clock.monotonic()];
      const answer = await this.#acquire(request, timeBudget);
      switch (answer.kind) {
        case 'granted': {
          if (announced)
            await this.#refuseAfterFailure(request, beganAt, { ...answer, askedAt, timeBudget }, announced);
          const renewed = await this.#login.underLease(request, { ...answer, askedAt, timeBudget });
          if (renewed) return renewed;
          announced = undefined;
          break;
        }
        case 'unavailable': {
          const renewed = await this.#login.withoutLease(request, answer.error);
          if (renewed) return renewed;
          announced = undefined;
          break;
        }
        case 'terminal_limit':
          throw new BrokerError('terminal_limit');
        case 'cooling':
          observer.coolingDown(answer.code);
          throw new BrokerError(answer.code, { retryAfter: Math.ceil(answer.forMs / 1_000) });
        case 'held': {
          const next = announced ?? this.#waiters.next(request.id, Math.min(POLL_MS, answer.heldForMs));
          const renewed = await tracer.span('lease wait', async () =>
            this.#resultOfHolder(request, beganAt, await next),
          );
          if (renewed) return renewed;
          // Listens before it asks for the lease again, so that it misses no announcement in between.
          announced = this.#waiters.next(request.id, POLL_MS);
        }
      }
    }
    // Other replicas held the lease all the time, and none of their logins has ended.
    throw new BrokerError('vendor_timeout', { retryAfter: 1 });
  }

  async #acquire({ id }: RenewalRequest, timeBudget: TimeBudget): Promise<Acquired> {
    const { terminals, clock } = this.#options;
    const acquiring = terminals.acquire(id, LEASE_MS).catch(asUnavailable);
    const answer = await timeBudget.wait(acquiring);
    if (answer) return answer;
    // The store answers too late. A lease that arrives now has no user.
    void acquiring.then((late) => {
      if (late.kind === 'granted') void this.#login.release({ lease: late.lease, timeBudget }, clock.now());
    });
    return asUnavailable(new BrokerError('store_unavailable', { retryAfter: 1 }));
  }

  /** The token that the replica with the lease has announced. @throws BrokerError its announced failure, or the logout */
  async #resultOfHolder(
    request: RenewalRequest,
    beganAt: number,
    announcement: SubjectAnnouncement | undefined,
  ): Promise<Renewed | undefined> {
    if (!announcement) return undefined;
    const failure = failureFor(request, beganAt, announcement);
    if (failure) throw failure;
    const checkedAt = this.#options.clock.monotonic();
    // If the store fails here, the next attempt to acquire the lease reports it.
    const stored = await this.#options.terminals.read(request.id).catch(() => undefined);
    if (!stored?.record || !request.satisfies(stored.record)) return undefined;
    return { record: stored.record, outcome: 'waited', checkedAt, erasedAt: stored.erasedAt };
  }

  /** The lease became free because the login of its holder failed or was outdated: this request does not repeat it. */
  async #refuseAfterFailure(
    request: RenewalRequest,
    beganAt: number,
    granted: GrantedLease,
    announced: Promise<SubjectAnnouncement | undefined>,
  ): Promise<void> {
    const { clock } = this.#options;
    const announcement = await raceTimeout(clock, ANNOUNCEMENT_DELAY_MS, announced);
    const failure = failureFor(request, beganAt, announcement);
    if (!failure) return;
    const { current } = granted;
    await this.#login.release(granted, current ? retryAt(current.token, failure.code, clock) : clock.now());
    throw failure;
  }
}

/**
 * The announced failure, unless this request should try by itself. A logout ends each login of the terminal that has begun,
 * so it fails the requests that wait for one. An older logout is announced again if the store has lost it.
 * @param beganAt when the request began, by the store's clock
 */
function failureFor(
  request: RenewalRequest,
  beganAt: number,
  announcement: SubjectAnnouncement | undefined,
): BrokerError | undefined {
  if (announcement?.kind === 'removed' && announcement.generation >= beganAt) return loggedOutMeanwhile();
  if (announcement?.kind !== 'failed') return undefined;
  const failure = new BrokerError(announcement.code, { retryAfter: 1 });
  return shouldRetryAlone(request, undefined, failure) ? undefined : failure;
}

type SubjectAnnouncement = Exclude<Announcement, { kind: 'erased' }>;
type Waiter = (announcement: SubjectAnnouncement | undefined) => void;

/** Lets renewals wait for the next announcement about their subject. */
export class AnnouncementWaiters {
  readonly #clock: Clock;
  readonly #waiters = new Map<SubjectId, Set<Waiter>>();

  constructor(announcements: AnnouncementFeed, clock: Clock) {
    this.#clock = clock;
    announcements.subscribe((announcement) => {
      if (announcement.kind === 'erased') return;
      for (const waiter of this.#waiters.get(announcement.id) ?? []) waiter(announcement);
    });
  }

  /** Resolves to the next announcement about `id`, or to `undefined` after `timeoutMs`. */
  next(id: SubjectId, timeoutMs: number): Promise<SubjectAnnouncement | undefined> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      const done: Waiter = (announcement) => {
        timer.cancel();
        waiters.delete(done);
        if (waiters.size === 0) this.#waiters.delete(id);
        resolve(announcement);
      };
      const timer = this.#clock.setTimer(() => done(undefined), timeoutMs);
      this.#waiters.set(id, waiters.add(done));
    });
  }
}

function isLoggedOut(error: unknown): boolean {
  return error instanceof BrokerError && error.code === 'session_forbidden';
}

function asUnavailable(error: unknown): { readonly kind: 'unavailable'; readonly error: unknown } {
  return { kind: 'unavailable', error };
}
