import type { Clock } from '../token/clock.ts';
import { BrokerError, type ErrorCode } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import type { AnnouncementFeed, Lease, LeaseAnswer, SaveOutcome, TerminalStore, VendorLogin } from '../token/ports.ts';
import { dueAt, type RefreshPolicy, retryAt } from '../token/renewal-timing.ts';
import type { TokenRecord } from '../token/sdk-token.ts';
import type { TimeBudget } from '../token/time-budget.ts';
import type { LoginLimits } from './login-limits.ts';
import { type RenewalRequest, type Renewed, refuseErased } from './requests.ts';
import type { WriteBack } from './store-outage.ts';
import type { TokenCache } from './token-cache.ts';

/** Long past: what is released is due for whoever comes next. */
const AT_ONCE = 0;

/** Extends the leases in use at a third of their life, and knows them, so that they can be given back at the end. */
export class LeaseKeeper {
  readonly #terminals: TerminalStore;
  readonly #log: Log;
  readonly #held = new Map<Lease, NodeJS.Timeout>();

  constructor(terminals: TerminalStore, log: Log) {
    this.#terminals = terminals;
    this.#log = log;
  }

  keep(lease: Lease): void {
    const timer = setInterval(() => void this.#extend(lease), lease.durationMs / 3);
    this.#held.set(lease, timer);
  }

  /** Stops extending it; whoever saves or releases it gives it back. */
  letGo(lease: Lease): void {
    clearInterval(this.#held.get(lease));
    this.#held.delete(lease);
  }

  /** Gives back whatever is still held, so that other replicas need not wait for it to run out. */
  async releaseAll(): Promise<void> {
    const leases = [...this.#held.keys()];
    for (const lease of leases) this.letGo(lease);
    await Promise.allSettled(leases.map((lease) => this.#terminals.release(lease, AT_ONCE)));
  }

  async #extend(lease: Lease): Promise<void> {
    try {
      if (await this.#terminals.extend(lease)) return;
      this.letGo(lease);
      this.#log.warn(
        { subject: lease.id },
        'a lease was lost while logging in; if its token is outdated it is not saved',
      );
    } catch (error) {
      this.#log.warn({ subject: lease.id, err: error }, 'a lease could not be extended');
    }
  }
}

export interface RenewalOptions {
  readonly terminals: TerminalStore;
  readonly announcements: AnnouncementFeed;
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

const REGION_NEEDED =
  'regRegion: the country of the account is not known; give it as two capital letters (ISO 3166-1), e.g. CN';

/** A lease, and what may be done with it. */
export interface Granted extends Extract<LeaseAnswer, { kind: 'granted' }> {
  /** Most ms the login may take. */
  readonly budgetMs: number;
  /** For the store. */
  readonly timeBudget: TimeBudget;
}

/** A login under a lease, and the fenced write of what it brings. */
export class LoginUnderLease {
  readonly #options: RenewalOptions;
  readonly #leases: LeaseKeeper;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#leases = new LeaseKeeper(options.terminals, options.log);
  }

  /** Uses the lease up. @throws BrokerError as `Renewal.renew` does */
  async logIn(request: RenewalRequest, granted: Granted): Promise<Renewed> {
    const { lease, current, erasedAt } = granted;
    if (current && request.satisfies(current)) {
      await this.giveBack(granted, dueAt(current, this.#options.policy, lease.id));
      return { record: current, outcome: 'waited', erasedAt };
    }
    this.#leases.keep(lease);
    try {
      return await this.#logIn(request, granted);
    } catch (error) {
      await granted.timeBudget.wait(this.#giveUp(request, granted, error));
      throw error;
    } finally {
      this.#leases.letGo(lease);
    }
  }

  /** Gives back a lease there was no use for. @param dueAt epoch ms at which its record is to be looked at next */
  async giveBack(
    { lease, timeBudget }: Pick<Granted, 'lease' | 'timeBudget'>,
    dueAt: number | undefined,
  ): Promise<void> {
    await timeBudget.wait(this.#release(lease, dueAt, undefined));
  }

  /** Gives back whatever leases are still held. */
  releaseAll(): Promise<void> {
    return this.#leases.releaseAll();
  }

  async #logIn(request: RenewalRequest, granted: Granted): Promise<Renewed> {
    const { vendor, limits } = this.#options;
    const { subject, cause } = request;
    const { lease, current, budgetMs, timeBudget, erasedAt } = granted;
    const read = cause !== 'background';
    if (read) refuseErased(request, erasedAt);
    const region = granted.region ?? request.region;
    if (!region) throw new BrokerError('request_invalid', { detail: REGION_NEEDED });
    if (cause === 'new' || cause === 'refused') await limits.admit(lease.id, cause, timeBudget);
    const token = await vendor.login({ subject, region, budgetMs, urgency: read ? 'foreground' : 'background' });
    const unreadRenewals = read ? 0 : 1 + (current && !current.read ? current.unreadRenewals : 0);
    const record = { subject, region, token, generation: lease.generation, read, unreadRenewals };
    return this.#save(request, granted, record);
  }

  async #save(request: RenewalRequest, granted: Granted, record: TokenRecord): Promise<Renewed> {
    const { terminals, cache } = this.#options;
    const { lease, timeBudget, erasedAt } = granted;
    const saving = this.#write(lease, record);
    const outcome = await timeBudget.wait(saving);
    if (outcome === undefined) void saving.then((late) => isRefusal(late) && cache.forget(lease.id, lease.generation));
    if (outcome === 'terminal_limit') throw new BrokerError('terminal_limit');
    if (outcome !== 'outdated') {
      cache.renew(record, lease.id);
      return { record, outcome: 'login', erasedAt };
    }
    const newer = await terminals.read(lease.id);
    refuseErased(request, newer.erasedAt);
    if (newer.record && request.satisfies(newer.record)) {
      return { record: newer.record, outcome: 'waited', erasedAt: newer.erasedAt };
    }
    throw new BrokerError('session_forbidden', {
      detail: 'the terminal was logged out while its token was being obtained',
    });
  }

  async #write(lease: Lease, record: TokenRecord): Promise<SaveOutcome | 'later'> {
    const { terminals, policy, writeBack, log } = this.#options;
    try {
      return await terminals.save(lease, record, dueAt(record, policy, lease.id));
    } catch (error) {
      const message = 'a token was obtained but could not be stored: it is written back later';
      log.error({ subject: lease.id, err: error }, message);
      writeBack.keep(record);
      return 'later';
    }
  }

  async #giveUp(request: RenewalRequest, { lease, current }: Granted, error: unknown): Promise<void> {
    const { terminals, clock, log } = this.#options;
    const { id } = lease;
    const code = error instanceof BrokerError ? error.code : 'internal';
    const dueAt = current && retryAt(current.token, code, clock);
    await this.#release(lease, dueAt, concernsOthers(code, request) ? code : undefined);
    if (code !== 'account_disabled') return;
    await terminals.remove(id).catch((storeError: unknown) => {
      log.warn({ subject: id, err: storeError }, 'the token of a closed account could not be forgotten');
    });
  }

  async #release(...release: Parameters<TerminalStore['release']>): Promise<void> {
    const { terminals, log } = this.#options;
    const [{ id }] = release;
    await terminals.release(...release).catch((error: unknown) => {
      log.warn({ subject: id, err: error }, 'a lease could not be given back; it runs out by itself');
    });
  }
}

/** Whether who waits for the same on another replica is to be told: an app has a better place in the login budget. */
function concernsOthers(code: ErrorCode, { cause }: RenewalRequest): boolean {
  return cause !== 'background' || code !== 'vendor_busy';
}

function isRefusal(outcome: SaveOutcome | 'later'): boolean {
  return outcome === 'outdated' || outcome === 'terminal_limit';
}
