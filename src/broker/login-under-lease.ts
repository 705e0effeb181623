import type { Clock, TimeBudget, Timer } from '../token/clock.ts';
import { BrokerError, type ErrorCode } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { Observer, RenewalCause } from '../token/observer.ts';
import type { AccountStore, Lease, LeaseAnswer, SaveOutcome, TerminalStore, VendorLogin } from '../token/ports.ts';
import {
  dueAt,
  dueOnceRead,
  isRenewedInBackground,
  LEASE_MS,
  type RefreshPolicy,
  retryAt,
} from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import { type Subject, type SubjectId, subjectId } from '../token/subject.ts';
import type { LoginLimits } from './login-limits.ts';
import { type RenewalRequest, type Renewed, refuseErased } from './requests.ts';
import type { WriteBack } from './store-outage.ts';
import type { TokenCache } from './token-cache.ts';

export const REGION_NEEDED =
  'regRegion: the country of the account is not known; give it as two capital letters (ISO 3166-1), e.g. CN';

/** A due time in the past: another worker may claim the subject at once. */
const DUE_NOW = 0;

export interface LoginUnderLeaseOptions {
  readonly terminals: TerminalStore;
  readonly accounts: Pick<AccountStore, 'find'>;
  readonly vendor: VendorLogin;
  readonly cache: TokenCache;
  readonly limits: LoginLimits;
  readonly writeBack: WriteBack;
  readonly policy: RefreshPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Pick<Observer, 'endedUnrenewed'>;
  /** Maximum duration of one login: all its attempts, and the waits between them. */
  readonly loginBudgetMs: number;
}

/** A granted lease, and how long its login waits for the store. */
export interface GrantedLease extends Extract<LeaseAnswer, { kind: 'granted' }> {
  readonly timeBudget: TimeBudget;
}

/** Logs in at the vendor under a lease and writes the token, fenced by the lease's generation. */
export class LoginUnderLease {
  readonly #options: LoginUnderLeaseOptions;
  readonly #heldLeases: HeldLeases;

  constructor(options: LoginUnderLeaseOptions) {
    this.#options = options;
    this.#heldLeases = new HeldLeases(options);
  }

  /**
   * Consumes the lease: it is released in every case.
   * @returns `undefined` when another owner has taken the lease during the login. The request needs the lease again
   * @throws BrokerError see `Renewal.renew`
   */
  async logIn(request: RenewalRequest, granted: GrantedLease): Promise<Renewed | undefined> {
    const { lease, current, erasedAt } = granted;
    if (current && request.satisfies(current)) {
      // An app gets this token now. Another app may have read it since the lease was granted.
      await this.release(granted, dueOnceRead(current, this.#options.policy, lease.id));
      return { record: current, outcome: 'waited', checkedAt: Number.NEGATIVE_INFINITY, erasedAt };
    }
    this.#heldLeases.add(lease);
    try {
      return await this.#logInAndSave(request, granted);
    } catch (error) {
      await granted.timeBudget.wait(this.#releaseFailed(request, granted, error));
      throw error;
    } finally {
      this.#heldLeases.remove(lease);
    }
  }

  /** Releases a lease without a login. @param dueAt epoch ms at which the worker looks at the record next */
  async release({ lease, timeBudget }: Pick<GrantedLease, 'lease' | 'timeBudget'>, dueAt: number): Promise<void> {
    await timeBudget.wait(this.#release(lease, dueAt));
  }

  /** Releases every lease that is still held. */
  releaseAll(): Promise<void> {
    return this.#heldLeases.releaseAll();
  }

  async #logInAndSave(request: RenewalRequest, granted: GrantedLease): Promise<Renewed | undefined> {
    const { vendor, limits, loginBudgetMs: budgetMs } = this.#options;
    const { subject, cause, urgency } = request;
    const { lease, current, timeBudget, erasedAt } = granted;
    const isByApp = cause !== 'background';
    if (isByApp) refuseErased(request, erasedAt);
    const region = granted.region ?? request.region;
    if (!region) throw new BrokerError('request_invalid', { detail: REGION_NEEDED });
    if (isCounted(cause)) await limits.admit(lease.id, cause, timeBudget);
    const token = await vendor.login({ subject, region, budgetMs, urgency });
    const earlierUnread = current?.read === false ? current.unreadRenewals : 0;
    const unreadRenewals = isByApp ? 0 : earlierUnread + 1;
    const record = { subject, region, token, generation: lease.generation, read: isByApp, unreadRenewals };
    return this.#save(request, granted, record);
  }

  async #save(request: RenewalRequest, granted: GrantedLease, record: TokenRecord): Promise<Renewed | undefined> {
    const { terminals, cache, clock } = this.#options;
    const { lease, timeBudget, erasedAt } = granted;
    const askedAt = clock.now();
    const saving = this.#write(lease, record);
    const outcome = await timeBudget.wait(saving);
    // The store has not answered in time. The app gets the token now; if the store refuses it later, memory forgets it.
    if (outcome === undefined) void saving.then((late) => isRefusal(late) && cache.forget(lease.id, lease.generation));
    if (outcome === 'terminal_limit') throw new BrokerError('terminal_limit');
    if (outcome === 'lease_lost') return undefined;
    if (outcome !== 'outdated') {
      this.#reportEnded(granted);
      const checkedAt = outcome === 'saved' ? askedAt : Number.NEGATIVE_INFINITY;
      cache.renew(record, lease.id, checkedAt);
      return { record, outcome: 'login', checkedAt, erasedAt };
    }
    const checkedAt = clock.now();
    const newer = await terminals.read(lease.id);
    refuseErased(request, newer.erasedAt);
    if (newer.record && request.satisfies(newer.record)) {
      return { record: newer.record, outcome: 'waited', checkedAt, erasedAt: newer.erasedAt };
    }
    // It was stored by another owner of the lease. After a logout, there would be none.
    if (newer.record) return undefined;
    throw loggedOutMeanwhile();
  }

  /** The former token ended before this login replaced it. The worker reports tokens that nothing has replaced. */
  #reportEnded({ current }: GrantedLease): void {
    const { policy, clock, observer } = this.#options;
    if (!current?.read || clock.now() < current.token.expiresAt) return;
    if (isRenewedInBackground(current, policy)) observer.endedUnrenewed(1);
  }

  async #write(lease: Lease, record: TokenRecord): Promise<SaveOutcome | 'write_back'> {
    const { terminals, policy, writeBack, log } = this.#options;
    try {
      return await terminals.save(lease, record, dueAt(record, policy, lease.id));
    } catch (error) {
      log.error({ subject: lease.id, err: error }, 'a new token could not be stored; the broker writes it back later');
      writeBack.add(record);
      return 'write_back';
    }
  }

  async #releaseFailed(request: RenewalRequest, { lease, current }: GrantedLease, error: unknown): Promise<void> {
    const { limits, clock } = this.#options;
    const { id } = lease;
    const code = error instanceof BrokerError ? error.code : 'internal';
    const isUnsent = error instanceof BrokerError && error.isUnsent;
    if (isUnsent && isCounted(request.cause)) void limits.giveBack(id, request.cause);
    const waitMs = error instanceof BrokerError ? error.waitMs : undefined;
    const dueAt = current && retryAt(current.token, code, clock, waitMs);
    await this.#release(lease, dueAt, concernsOtherReplicas(code, request) ? code : undefined, waitMs);
    if (code === 'account_disabled') await this.#removeTokens(id, request.subject);
  }

  /** Removes the tokens of a closed account: of this terminal first, then of its others, which would not expire soon. */
  async #removeTokens(id: SubjectId, { unionId }: Subject): Promise<void> {
    const { terminals, accounts, cache, log } = this.#options;
    // Memory forgets each token at once, because an announcement may be lost.
    const remove = async (one: SubjectId) => cache.forget(one, await terminals.remove(one));
    try {
      await remove(id);
      const others = (await accounts.find(unionId))?.records ?? [];
      await Promise.all(others.map(({ subject }) => remove(subjectId(subject))));
    } catch (error) {
      log.warn({ subject: id, err: error }, 'the token of a closed account could not be removed from the store');
    }
  }

  async #release(lease: Lease, dueAt: number | undefined, failure?: ErrorCode, waitMs?: number): Promise<void> {
    const { terminals, log } = this.#options;
    await terminals.release(lease, dueAt, failure, waitMs).catch((error: unknown) => {
      log.warn({ subject: lease.id, err: error }, 'a lease could not be released; it expires by itself');
    });
  }
}

export interface HeldLeasesOptions {
  readonly terminals: TerminalStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Default: a third of {@link LEASE_MS}, so that a lease survives one lost heartbeat. */
  readonly heartbeatMs?: number;
}

/** The leases of running logins. One heartbeat extends them all, for as long as this replica lives. */
export class HeldLeases {
  readonly #options: HeldLeasesOptions;
  readonly #leases = new Set<Lease>();
  #heartbeat: Timer | undefined;

  constructor(options: HeldLeasesOptions) {
    this.#options = options;
  }

  add(lease: Lease): void {
    this.#leases.add(lease);
    this.#heartbeat ??= this.#beatLater();
  }

  /** Stops extending the lease. Does not release it. */
  remove(lease: Lease): void {
    this.#leases.delete(lease);
    if (this.#leases.size > 0) return;
    this.#heartbeat?.cancel();
    this.#heartbeat = undefined;
  }

  /** Releases all leases at shutdown, so that other replicas need not wait until they expire. */
  async releaseAll(): Promise<void> {
    const leases = [...this.#leases];
    for (const lease of leases) this.remove(lease);
    await Promise.allSettled(leases.map((lease) => this.#options.terminals.release(lease, DUE_NOW)));
  }

  #beatLater(): Timer {
    const { clock, heartbeatMs = LEASE_MS / 3 } = this.#options;
    return clock.setTimer(() => {
      this.#heartbeat = this.#beatLater();
      void this.#extendAll();
    }, heartbeatMs);
  }

  async #extendAll(): Promise<void> {
    const { terminals, log } = this.#options;
    try {
      for (const lease of await terminals.extend([...this.#leases])) {
        this.remove(lease);
        log.warn(
          { subject: lease.id },
          'a lease was lost during a login; the store refuses the token if it is outdated',
        );
      }
    } catch (error) {
      log.warn({ err: error }, 'leases could not be extended');
    }
  }
}

export function loggedOutMeanwhile(): BrokerError {
  return new BrokerError('session_forbidden', {
    detail: 'the terminal was logged out while its token was being obtained',
  });
}

/** Another replica does not hear that a background renewal found no place in the login queue: an app has priority there. */
function concernsOtherReplicas(code: ErrorCode, { urgency }: RenewalRequest): boolean {
  return urgency !== 'background' || code !== 'vendor_busy';
}

/** Whether a login with this cause counts against the account's limit. */
function isCounted(cause: RenewalCause): cause is 'new' | 'refused' {
  return cause === 'new' || cause === 'refused';
}

function isRefusal(outcome: SaveOutcome | 'write_back'): boolean {
  return outcome !== 'saved' && outcome !== 'write_back';
}
