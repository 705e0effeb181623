import { BrokerError } from '../token/errors.ts';
import type { Announcement, AnnouncementFeed, ClaimBounds, DueClaim, LeaseAnswer } from '../token/ports.ts';
import { loginBudget } from '../token/renewal-timing.ts';
import type { SubjectId } from '../token/subject.ts';
import { raceTimeout, TimeBudget } from '../token/time-budget.ts';
import { LoginUnderLease, type RenewalOptions } from './login-under-lease.ts';
import { isTheirsAlone, type RenewalRequest, type Renewed } from './requests.ts';
import { LoginWithoutLease } from './store-outage.ts';

type SubjectAnnouncement = Exclude<Announcement, { kind: 'erased' }>;
type Waiter = (announcement: SubjectAnnouncement | undefined) => void;

/** Lets a renewal wait until something is announced about its subject. */
export class AnnouncementWaiters {
  readonly #waiters = new Map<SubjectId, Set<Waiter>>();

  constructor(announcements: AnnouncementFeed) {
    announcements.subscribe((announcement) => {
      if (announcement.kind === 'erased') return;
      for (const waiter of this.#waiters.get(announcement.id) ?? []) waiter(announcement);
    });
  }

  /** The next announcement about `id`, or `undefined` after `timeoutMs`: announcements may get lost. */
  next(id: SubjectId, timeoutMs: number): Promise<SubjectAnnouncement | undefined> {
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      const done: Waiter = (announcement) => {
        clearTimeout(timer);
        waiters.delete(done);
        if (waiters.size === 0) this.#waiters.delete(id);
        resolve(announcement);
      };
      const timer = setTimeout(done, timeoutMs, undefined);
      this.#waiters.set(id, waiters.add(done));
    });
  }
}

/** The lease outlives the login it is for by this much: enough to write the token. */
const LEASE_MARGIN_MS = 1_000;
/** What a claim leaves its login at least. */
const SHORTEST_BUDGET_MS = 1_000;
/** How often a waiter looks for the token by itself: announcements may get lost. */
const POLL_MS = 250;
/**
 * Most ms a renewal waits for the store in all, from the lease to the token's write; a slow store goes on with that.
 * With what a read and the login's turn may take besides, an app waits for half a second at most.
 */
const PATIENCE_MS = 180;

interface RunningRenewal {
  readonly request: RenewalRequest;
  readonly renewed: Promise<Renewed>;
}

type Acquired = LeaseAnswer | { readonly kind: 'unavailable'; readonly error: unknown };

/** The one way a token comes to be: lease, re-read, vendor login, fenced write, announcement. */
export class Renewal {
  readonly #options: RenewalOptions;
  readonly #waiters: AnnouncementWaiters;
  readonly #underLease: LoginUnderLease;
  readonly #withoutLease: LoginWithoutLease;
  readonly #running = new Map<SubjectId, RunningRenewal>();
  readonly #unlimited: TimeBudget;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#unlimited = new TimeBudget(options.clock, Number.POSITIVE_INFINITY);
    this.#waiters = new AnnouncementWaiters(options.announcements);
    this.#underLease = new LoginUnderLease(options);
    this.#withoutLease = new LoginWithoutLease(options);
  }

  /**
   * A record that satisfies the request, after at most one login over all replicas at a time. It goes on when its
   * caller has gone, since others may wait for it.
   * @throws BrokerError what the vendor or the store says; `request_invalid` when no country is known;
   *   `rate_limited`; `terminal_limit`; `session_forbidden` when the terminal was logged out meanwhile;
   *   `session_invalid` when the account was erased since the session was issued
   */
  async renew(request: RenewalRequest): Promise<Renewed> {
    for (let other = this.#running.get(request.id); other; other = this.#running.get(request.id)) {
      const renewed = await this.#join(other, request);
      if (renewed && request.satisfies(renewed.record)) return { ...renewed, outcome: 'waited' };
    }
    return this.#start(request, this.#run(request));
  }

  /** The lease durations that {@link renewDue} needs. */
  get claimBounds(): ClaimBounds {
    const longest = this.#options.loginBudgetMs + LEASE_MARGIN_MS;
    return { shortest: SHORTEST_BUDGET_MS + LEASE_MARGIN_MS, longest };
  }

  /** Renews what was claimed. Whoever asks meanwhile waits for it. @throws BrokerError what the vendor or the store says */
  renewDue({ lease, record, region, erasedAt }: DueClaim): Promise<Renewed> {
    const { subject, generation } = record;
    const request: RenewalRequest = {
      id: lease.id,
      subject,
      region,
      known: record,
      cause: 'background',
      sessionIssuedAt: undefined,
      satisfies: (other) => other.generation > generation,
    };
    const budgetMs = lease.durationMs - LEASE_MARGIN_MS;
    const granted = { kind: 'granted', lease, current: record, region, erasedAt, budgetMs } as const;
    return this.#start(request, this.#underLease.logIn(request, { ...granted, timeBudget: this.#unlimited }));
  }

  /** Gives back a claim there is no use for. @param dueAt epoch ms at which the record is to be looked at next */
  putOff({ lease }: DueClaim, dueAt: number): Promise<void> {
    return this.#underLease.giveBack({ lease, timeBudget: this.#unlimited }, dueAt);
  }

  /** Waits until nothing is under way, at most `timeoutMs`; gives back what leases are still held then. */
  async settle(timeoutMs: number): Promise<void> {
    await raceTimeout(timeoutMs, Promise.allSettled([...this.#running.values()].map(({ renewed }) => renewed)));
    await this.#underLease.releaseAll();
  }

  /** Lets others join a renewal under way, unless they join another one already. */
  #start(request: RenewalRequest, renewed: Promise<Renewed>): Promise<Renewed> {
    const { observer } = this.#options;
    const running = { request, renewed };
    if (!this.#running.has(request.id)) this.#running.set(request.id, running);
    renewed.then(
      ({ outcome }) => {
        this.#settle(running);
        observer.renewalEnded(request.cause, outcome);
      },
      (error: unknown) => {
        this.#settle(running);
        observer.renewalFailed(request.cause, error);
      },
    );
    return renewed;
  }

  #settle(running: RunningRenewal): void {
    if (this.#running.get(running.request.id) === running) this.#running.delete(running.request.id);
  }

  async #join({ request: theirs, renewed }: RunningRenewal, ours: RenewalRequest): Promise<Renewed | undefined> {
    try {
      return await renewed;
    } catch (error) {
      if (isTheirsAlone(error, theirs, ours)) return undefined;
      throw error;
    }
  }

  async #run(request: RenewalRequest): Promise<Renewed> {
    const { clock, observer, loginBudgetMs } = this.#options;
    const deadline = clock.now() + 2 * loginBudgetMs + LEASE_MARGIN_MS;
    while (clock.now() < deadline) {
      const budgetMs = loginBudget(request.known, clock.now(), loginBudgetMs);
      const timeBudget = new TimeBudget(clock, PATIENCE_MS);
      const answer = await this.#acquire(request, budgetMs, timeBudget);
      switch (answer.kind) {
        case 'granted':
          return this.#underLease.logIn(request, { ...answer, budgetMs, timeBudget });
        case 'unavailable':
          return this.#withoutLease.logIn(request, budgetMs, answer.error);
        case 'terminal_limit':
          throw new BrokerError('terminal_limit');
        case 'cooling':
          observer.coolingDown(answer.code);
          throw new BrokerError(answer.code, { retryAfter: Math.ceil(answer.forMs / 1_000) });
        case 'held': {
          const renewed = await this.#awaitOthers(request, Math.min(POLL_MS, answer.heldForMs));
          if (renewed) return renewed;
        }
      }
    }
    throw new BrokerError('vendor_timeout', { retryAfter: 1 });
  }

  async #acquire({ id }: RenewalRequest, budgetMs: number, timeBudget: TimeBudget): Promise<Acquired> {
    const { terminals, clock } = this.#options;
    const acquiring = terminals.acquire(id, budgetMs + LEASE_MARGIN_MS).catch(asUnavailable);
    const answer = await timeBudget.wait(acquiring);
    if (answer) return answer;
    void acquiring.then((late) => {
      if (late.kind === 'granted') void this.#underLease.giveBack({ lease: late.lease, timeBudget }, clock.now());
    });
    return asUnavailable(new BrokerError('store_unavailable', { retryAfter: 1 }));
  }

  /** What the replica that holds the lease came to, if it did within `waitMs`. */
  async #awaitOthers(request: RenewalRequest, waitMs: number): Promise<Renewed | undefined> {
    const news = await this.#waiters.next(request.id, waitMs);
    if (news?.kind === 'failed') {
      const failure = new BrokerError(news.code, { retryAfter: 1 });
      if (!isTheirsAlone(failure, undefined, request)) throw failure;
    }
    // Where the store has gone away meanwhile, trying to get the lease tells.
    const stored = await this.#options.terminals.read(request.id).catch(() => undefined);
    if (!stored?.record || !request.satisfies(stored.record)) return undefined;
    return { record: stored.record, outcome: 'waited', erasedAt: stored.erasedAt };
  }
}

function asUnavailable(error: unknown): { readonly kind: 'unavailable'; readonly error: unknown } {
  return { kind: 'unavailable', error };
}
