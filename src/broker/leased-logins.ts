import { EventEmitter } from 'node:events';
import { type Clock, StoreTimeout, withTimeout } from '../token/clock.ts';
import { BrokerError, type ErrorCode, LoginNotSent } from '../token/errors.ts';
import type { RenewalCause } from '../token/observer.ts';
import type { Announcement, AnnouncementFeed, Lease, LeaseAnswer, LoginFailure } from '../token/ports.ts';
import { LEASE_MS, retryAt } from '../token/renewal-timing.ts';
import type { SubjectId } from '../token/subject.ts';
import type { BrokerPorts } from './broker-ports.ts';
import { createHeldLeases } from './held-leases.ts';
import type { LoginLimits } from './login-limits.ts';
import { type RenewalRequest, shouldRetryAlone } from './requests.ts';
import type { TokenCache } from './token-cache.ts';

/** A login's waits for the store in total. With its lookup and the queue, a slow store costs an app 0.5 s at most. */
export const STORE_WAIT_MS = 180;
/** How often a waiting replica asks for the lease again, because announcements may get lost. */
const POLL_MS = 250;
/** An announcement may arrive this much later than the lease that became free with it. */
const ANNOUNCEMENT_DELAY_MS = 20;

type LoginPorts = 'terminals' | 'announcements' | 'policy' | 'clock' | 'log' | 'observer' | 'tracer' | 'loginBudgetMs';

export interface LeasedLoginsOptions extends Pick<BrokerPorts, LoginPorts> {
  readonly cache: TokenCache;
  readonly limits: LoginLimits;
}

/** A wish of a caller: one login of this subject. */
export interface LoginRequest extends Pick<RenewalRequest, 'id' | 'region' | 'cause' | 'urgency'> {
  /** Set: a logout of the terminal does not end the login. */
  readonly outlivesLogout?: true;
}

/** A granted lease, and how long its login waits for the store. */
export interface GrantedLease extends Extract<LeaseAnswer, { kind: 'granted' }> {
  readonly storeTimeout: StoreTimeout;
  /** When the store was asked for the lease, by the monotonic clock. */
  readonly askedAt: number;
}

type Acquired =
  | GrantedLease
  | Exclude<LeaseAnswer, { kind: 'granted' }>
  | { readonly kind: 'unavailable'; readonly error: unknown };

/** The steps of a request with its lease. Each step returns `undefined` if the request needs the lease again. */
export interface LoginSteps<Result> {
  /** Logs in. Consumes the lease: it is released in every case. */
  underLease(granted: GrantedLease): Promise<Result | undefined>;
  /** Logs in although the store could not be asked for a lease, or throws its error. */
  withoutLease(storeError: unknown): Promise<Result | undefined>;
  /** The token that the login of another replica has stored. */
  stored(): Promise<Result | undefined>;
}

interface RunningLogin<Result> {
  readonly reason: Pick<LoginRequest, 'cause' | 'urgency'>;
  readonly result: Promise<Result | undefined>;
  /** The last logout or erasure of the subject that was known when it began. */
  readonly outdatedUntil: number;
}

/** The logins of one process, at most one per subject. Leases extend this to all replicas. */
export class LeasedLogins<Result> {
  readonly #options: LeasedLoginsOptions;
  readonly #nextAnnouncement: ReturnType<typeof announcementWaiter>;
  readonly #heldLeases: ReturnType<typeof createHeldLeases>;
  readonly #running = new Map<SubjectId, RunningLogin<Result>>();

  constructor(options: LeasedLoginsOptions) {
    this.#options = options;
    this.#nextAnnouncement = announcementWaiter(options.announcements, options.clock);
    this.#heldLeases = createHeldLeases(options);
  }

  isRunning(id: SubjectId): boolean {
    return this.#running.has(id);
  }

  /**
   * Waits for the running logins of the subject, one after the other, until the result of one will do. Otherwise begins
   * one. It continues when its caller disconnects, because others may wait for it.
   * @param accept returns what a waiting request gets of a result; `undefined` if the result will not do
   * @throws the error of the login that it has begun, or of one that it waited for, unless it should try by itself
   */
  async joinOrBegin(
    request: LoginRequest,
    accept: (result: Result) => Result | undefined,
    begin: () => Promise<Result>,
  ): Promise<Result> {
    for (let other = this.#running.get(request.id); other; other = this.#running.get(request.id)) {
      const running = other;
      const result = await this.#options.tracer.span('lease wait', () => this.#resultOf(running, request));
      const accepted = result === undefined ? undefined : accept(result);
      if (accepted !== undefined) return accepted;
    }
    return this.begin(request, begin());
  }

  /** @returns `undefined` if it has brought nothing, or has failed for a reason that does not concern this request */
  async #resultOf(running: RunningLogin<Result>, request: LoginRequest): Promise<Result | undefined> {
    // A logout or an erasure that ends the running login came before this request.
    const isLater = this.#options.cache.outdatedUntil(request.id) > running.outdatedUntil;
    try {
      return await running.result;
    } catch (error) {
      if ((isLater && isEndedByRemoval(error)) || shouldRetryAlone(request, running.reason, error)) return undefined;
      throw error;
    }
  }

  /** Lets {@link joinOrBegin} wait for a login that begins now. @param result `undefined`: there was nothing to do */
  begin<Begun extends Result | undefined>(
    { id, cause, urgency }: Pick<LoginRequest, 'id' | 'cause' | 'urgency'>,
    result: Promise<Begun>,
  ): Promise<Begun> {
    this.#running.set(id, { reason: { cause, urgency }, result, outdatedUntil: this.#options.cache.outdatedUntil(id) });
    const end = () => void this.#running.delete(id);
    result.then(end, end);
    return result;
  }

  /**
   * Asks for the lease until a step has a result.
   * @throws BrokerError the error of a step; the announced error of another replica's login; `terminal_limit`; the
   *   error of the last login while the account cools down; `vendor_timeout` if other replicas held the lease all the
   *   time
   */
  async logIn(request: LoginRequest, steps: LoginSteps<Result>): Promise<Result> {
    const { terminals, clock, tracer, loginBudgetMs } = this.#options;
    const beganAt = terminals.clockFor(request.id) ?? 0;
    // Until then it may take the lease. Its own login may end one login budget later.
    const deadline = clock.monotonic() + 2 * loginBudgetMs + LEASE_MS;
    let announced: Promise<SubjectAnnouncement | undefined> | undefined;
    while (clock.monotonic() < deadline) {
      const answer = await this.acquire(request.id);
      if (answer.kind === 'terminal_limit') throw new BrokerError('terminal_limit');
      if (answer.kind === 'cooling') {
        throw new BrokerError(answer.code, { retryAfter: Math.ceil(answer.forMs / 1_000) });
      }
      if (answer.kind === 'held') {
        const next = announced ?? this.#nextAnnouncement(request.id, Math.min(POLL_MS, answer.heldForMs));
        const result = await tracer.span('lease wait', () => this.#resultOfHolder(request, beganAt, steps, next));
        if (result !== undefined) return result;
        // Listens before it asks for the lease again, so that it misses no announcement in between.
        announced = this.#nextAnnouncement(request.id, POLL_MS);
        continue;
      }
      const isGranted = answer.kind === 'granted';
      if (isGranted && announced) await this.#refuseAfterFailure(request, beganAt, answer, announced);
      const result = await (isGranted ? steps.underLease(answer) : steps.withoutLease(answer.error));
      if (result !== undefined) return result;
      announced = undefined;
    }
    // No login of another replica has ended.
    throw new BrokerError('vendor_timeout', { retryAfter: 1 });
  }

  /** Asks for the lease once. */
  async acquire(id: SubjectId): Promise<Acquired> {
    const { terminals, clock, policy, observer } = this.#options;
    const [storeTimeout, askedAt] = [new StoreTimeout(clock, STORE_WAIT_MS), clock.monotonic()];
    const acquiring = terminals.acquire(id, LEASE_MS).then((answer): Acquired => {
      // A token has ended that should have been renewed. The store deleted it before it answered.
      const hasEnded = 'endedRead' in answer && answer.endedRead;
      if (hasEnded && policy.mode === 'proactive') observer.endedUnrenewed();
      return answer.kind === 'granted' ? { ...answer, storeTimeout, askedAt } : answer;
    }, asUnavailable);
    const answer = await storeTimeout.wait(acquiring);
    if (answer) return answer;
    // The store answers too late. A lease that arrives now has no user.
    void acquiring.then((late) => {
      if (late.kind === 'granted') void this.release(late, clock.now());
    });
    return asUnavailable(new BrokerError('store_unavailable', { retryAfter: 1 }));
  }

  /** Does `work` and extends the lease. An error releases it, and counts. {@link LoginNotSent} becomes `undefined`. */
  async holding<Done>(
    request: LoginRequest,
    granted: GrantedLease,
    work: () => Promise<Done | undefined>,
  ): Promise<Done | undefined> {
    const { lease, askedAt, storeTimeout } = granted;
    this.#heldLeases.add(lease, askedAt);
    try {
      return await work();
    } catch (error) {
      await storeTimeout.wait(this.#releaseFailed(request, granted, error));
      if (error instanceof LoginNotSent) return undefined;
      throw error;
    } finally {
      this.#heldLeases.remove(lease);
    }
  }

  /** Whether the lease cannot have expired yet. */
  isHeld(lease: Lease): boolean {
    return this.#heldLeases.isHeld(lease);
  }

  /** Releases a lease without a login. @param dueAt epoch ms at which the worker looks at the record next */
  async release({ lease, storeTimeout }: Pick<GrantedLease, 'lease' | 'storeTimeout'>, dueAt?: number): Promise<void> {
    await storeTimeout.wait(this.#release(lease, dueAt));
  }

  /** Waits at most `timeoutMs` for the running logins, then releases every lease that is still held. */
  async settle(timeoutMs: number): Promise<void> {
    const results = [...this.#running.values()].map(({ result }) => result);
    await withTimeout(this.#options.clock, timeoutMs, Promise.allSettled(results));
    await this.#heldLeases.releaseAll();
  }

  /** Awaits the announcement of the replica with the lease. @throws BrokerError its announced failure, or the logout */
  async #resultOfHolder(
    request: LoginRequest,
    beganAt: number,
    steps: LoginSteps<Result>,
    announced: Promise<SubjectAnnouncement | undefined>,
  ): Promise<Result | undefined> {
    const announcement = await announced;
    if (!announcement) return undefined;
    const failure = failureFor(request, beganAt, announcement);
    if (failure) throw failure;
    // If the store fails here, the next attempt to acquire the lease reports it.
    return steps.stored().catch(() => undefined);
  }

  /** The lease became free because the login of its holder failed or was outdated: this request does not repeat it. */
  async #refuseAfterFailure(
    request: LoginRequest,
    beganAt: number,
    granted: GrantedLease,
    announced: Promise<SubjectAnnouncement | undefined>,
  ): Promise<void> {
    const { clock } = this.#options;
    const announcement = await withTimeout(clock, ANNOUNCEMENT_DELAY_MS, announced);
    const failure = failureFor(request, beganAt, announcement);
    if (!failure) return;
    const { current } = granted;
    await this.release(granted, current ? retryAt(current.token, failure.code, clock) : clock.now());
    throw failure;
  }

  async #releaseFailed(request: LoginRequest, { lease, current }: GrantedLease, error: unknown): Promise<void> {
    const { limits, clock } = this.#options;
    const { id, cause } = request;
    const failure = error instanceof BrokerError ? error : new BrokerError('internal');
    const { code, isUnsent, waitMs } = failure;
    if (isUnsent && isCounted(cause)) void limits.giveBack(id, cause);
    const dueAt = current && retryAt(current.token, code, clock, waitMs);
    // A login that was not sent has not failed: this replica asks for the lease again.
    const isAnnounced = !(error instanceof LoginNotSent) && concernsOtherReplicas(code, request);
    await this.#release(lease, dueAt, isAnnounced ? failure : undefined);
  }

  async #release(lease: Lease, dueAt: number | undefined, failure?: LoginFailure): Promise<void> {
    const { terminals, log } = this.#options;
    await terminals.release(lease, dueAt, failure).catch((error: unknown) => {
      log.warn({ subject: lease.id, err: error }, 'a lease could not be released; it expires by itself');
    });
  }
}

/** The errors of a login that a logout or an erasure has ended. */
const ENDED_BY_REMOVAL: ReadonlySet<ErrorCode> = new Set(['session_forbidden', 'session_invalid', 'not_found']);

export function loggedOutMeanwhile(): BrokerError {
  return new BrokerError('session_forbidden', {
    detail: 'the terminal was logged out while its token was being obtained',
  });
}

/** Whether a login with this cause counts against the account's limit. */
export function isCounted(cause: RenewalCause): cause is 'new' | 'refused' {
  return cause === 'new' || cause === 'refused';
}

/**
 * The announced failure, unless this request should try by itself. A logout ends each login of the terminal that has
 * begun, so it fails the requests that wait for one. An older logout is announced again if the store has lost it.
 * @param beganAt when the request began, by the store's clock
 */
function failureFor(
  request: LoginRequest,
  beganAt: number,
  announcement: SubjectAnnouncement | undefined,
): BrokerError | undefined {
  const isLogout = announcement?.kind === 'removed' && announcement.generation >= beganAt;
  if (isLogout && !request.outlivesLogout) return loggedOutMeanwhile();
  if (announcement?.kind !== 'failed') return undefined;
  const { code, retryAfter, vendorCode } = announcement;
  const failure = new BrokerError(code, { retryAfter, vendorCode });
  return shouldRetryAlone(request, undefined, failure) ? undefined : failure;
}

/**
 * Other replicas do not hear that a background renewal found no place in the login queue: an app has priority there.
 * Nor that a logout or an erasure has ended a login: a caller from after it may wait.
 */
function concernsOtherReplicas(code: ErrorCode, { urgency }: LoginRequest): boolean {
  return !ENDED_BY_REMOVAL.has(code) && (urgency !== 'background' || code !== 'vendor_busy');
}

function isEndedByRemoval(error: unknown): boolean {
  return error instanceof BrokerError && ENDED_BY_REMOVAL.has(error.code);
}

function asUnavailable(error: unknown): { readonly kind: 'unavailable'; readonly error: unknown } {
  return { kind: 'unavailable', error };
}

type SubjectAnnouncement = Extract<Announcement, { id: SubjectId }>;

/** Returns the function that awaits the next announcement about `id`: `undefined` after `timeoutMs`. */
function announcementWaiter(announcements: AnnouncementFeed, clock: Clock) {
  /** The id of a subject is an event. Any number of logins may wait for it. */
  const announced = new EventEmitter().setMaxListeners(0);
  announcements.subscribe((announcement) => {
    if ('id' in announcement) announced.emit(announcement.id, announcement);
  });
  return (id: SubjectId, timeoutMs: number): Promise<SubjectAnnouncement | undefined> =>
    new Promise((resolve) => {
      const done = (announcement?: SubjectAnnouncement): void => {
        timer.cancel();
        announced.off(id, done);
        resolve(announcement);
      };
      const timer = clock.setTimer(done, timeoutMs);
      announced.on(id, done);
    });
}
