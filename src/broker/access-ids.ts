import { type Clock, raceTimeout } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Log } from '../token/log.ts';
import type {
  AccountStore,
  AnnouncementFeed,
  KnownAccount,
  LeaseAnswer,
  TerminalStore,
  VendorLogin,
} from '../token/ports.ts';
import { LEASE_MS } from '../token/renewal-timing.ts';
import { type AccountId, accountId, accountOf, type Subject, type SubjectId, subjectId } from '../token/subject.ts';
import { HeldLeases } from './held-leases.ts';
import { REGION_NEEDED } from './login.ts';
import type { LoginLimits } from './login-limits.ts';
import { AnnouncementWaiters } from './renewal.ts';
import { shouldRetryAlone } from './requests.ts';

/** How often a replica asks again while another one logs in. */
const POLL_MS = 250;

/**
 * The terminal of the login for an accessId. The vendor may end the former token of a terminal at its next login, and may
 * take two accounts with one uniqueId for one phone. So it is no phone's, the same at each login of an account, and
 * different for each account.
 */
export function accessIdTerminal(unionId: string): string {
  return `access-id.${accountId(unionId)}`;
}

interface AccessIdRequest {
  readonly id: SubjectId;
  readonly subject: Subject;
  /** The account's country. The country pinned to the account takes precedence. */
  readonly region: string | undefined;
  /** Whether the account was erased since the request began. */
  isErased: boolean;
}

interface RunningRequest {
  readonly request: AccessIdRequest;
  readonly result: Promise<KnownAccount>;
}

export interface AccessIdsOptions {
  readonly terminals: TerminalStore;
  readonly accounts: AccountStore;
  readonly announcements: AnnouncementFeed;
  readonly vendor: VendorLogin;
  readonly limits: LoginLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Maximum duration of one login: all its attempts, and the waits between them. */
  readonly loginBudgetMs: number;
  readonly defaultRegion: string | undefined;
}

/**
 * Obtains the accessId of an account that has never logged in, by a login of its own. The token of that login is dropped:
 * it takes no terminal's place and is not renewed. Over all replicas at most one such login per subject runs at a time.
 */
export class AccessIds {
  readonly #options: AccessIdsOptions;
  readonly #waiters: AnnouncementWaiters;
  readonly #heldLeases: HeldLeases;
  readonly #running = new Map<SubjectId, RunningRequest>();

  constructor(options: AccessIdsOptions) {
    this.#options = options;
    this.#waiters = new AnnouncementWaiters(options.announcements, options.clock);
    this.#heldLeases = new HeldLeases(options);
    options.announcements.subscribe((announcement) => {
      if (announcement.kind === 'erased') this.#onErasure(announcement.account);
    });
  }

  /**
   * Returns the accessId of an account, which the store keeps from then on. If the store has one by the time the lease is
   * granted, there is no login. The login continues when the caller disconnects, because other callers may wait for it.
   * @param subject the account with its {@link accessIdTerminal}; with policy `single`, the account's only terminal, so
   *   that the login and those of its phone run one after the other
   * @param requestedRegion used for an account without a pinned country
   * @throws BrokerError `request_invalid` when the country is unknown; `not_found` when the account was erased during the
   *   login; `rate_limited`; or the error of the vendor or the store
   */
  async obtain(subject: Subject, requestedRegion: string | undefined): Promise<KnownAccount> {
    const region = requestedRegion ?? this.#options.defaultRegion;
    const id = subjectId(subject);
    for (let other = this.#running.get(id); other; other = this.#running.get(id)) {
      const known = await this.#join(other, region);
      if (known) return known;
    }
    const request = { id, subject, region, isErased: false };
    const result = this.#acquireAndLogIn(request).finally(() => {
      if (this.#running.get(id)?.request === request) this.#running.delete(id);
    });
    this.#running.set(id, { request, result });
    return result;
  }

  /**
   * Waits at most `timeoutMs` for the running requests, also those that nobody waits for any more. Then releases every
   * lease that is still held.
   */
  async settle(timeoutMs: number): Promise<void> {
    const results = [...this.#running.values()].map(({ result }) => result);
    await raceTimeout(this.#options.clock, timeoutMs, Promise.allSettled(results));
    await this.#heldLeases.releaseAll();
  }

  /** The result of a running request. `undefined`: it failed without a country, and this caller has one. */
  async #join({ result }: RunningRequest, region: string | undefined): Promise<KnownAccount | undefined> {
    try {
      return await result;
    } catch (error) {
      if (shouldRetryAlone(asWaiting(region), undefined, error)) return undefined;
      throw error;
    }
  }

  /** Callers from before the erasure get `not_found`. Later callers do not join them: they log in anew. */
  #onErasure(account: AccountId): void {
    for (const [id, { request }] of this.#running) {
      if (accountOf(id) !== account) continue;
      request.isErased = true;
      this.#running.delete(id);
    }
  }

  async #acquireAndLogIn(request: AccessIdRequest): Promise<KnownAccount> {
    const { terminals, accounts, clock, loginBudgetMs } = this.#options;
    const { id, subject, region } = request;
    // Until then it may take the lease. Its own login may end one login budget later.
    const deadline = clock.monotonic() + 2 * loginBudgetMs + LEASE_MS;
    while (clock.monotonic() < deadline) {
      // Listens before it asks for the lease, so that it misses no failure in between.
      const announced = this.#waiters.next(id, POLL_MS);
      const askedAt = clock.monotonic();
      const answer = await terminals.acquire(id, LEASE_MS);
      if (answer.kind === 'granted') return this.#logIn(request, answer, askedAt);
      if (answer.kind === 'cooling') {
        throw new BrokerError(answer.code, { retryAfter: Math.ceil(answer.forMs / 1_000) });
      }
      const announcement = await announced;
      if (announcement?.kind === 'failed') {
        const failure = new BrokerError(announcement.code, { retryAfter: 1 });
        if (!shouldRetryAlone(asWaiting(region), undefined, failure)) throw failure;
      }
      const known = await accounts.identify(subject.unionId);
      if (known) return known;
    }
    // Other replicas held the lease all the time, and none of their logins has ended.
    throw new BrokerError('vendor_timeout', { retryAfter: 1 });
  }

  async #logIn(
    request: AccessIdRequest,
    { lease, region: pinned }: Extract<LeaseAnswer, { kind: 'granted' }>,
    askedAt: number,
  ): Promise<KnownAccount> {
    const { terminals, accounts, vendor, limits, loginBudgetMs: budgetMs, log } = this.#options;
    const { subject } = request;
    const { unionId } = subject;
    this.#heldLeases.add(lease, askedAt);
    try {
      if (request.isErased) throw erasedMeanwhile();
      // Another login may have ended since the caller looked.
      const known = await accounts.identify(unionId);
      if (known) {
        await terminals.release(lease, undefined);
        return known;
      }
      const region = pinned ?? request.region;
      if (!region) throw new BrokerError('request_invalid', { detail: REGION_NEEDED });
      await limits.admit(lease.id, 'new');
      const mayBeSent = () => this.#heldLeases.isHeld(lease);
      const { fields } = await vendor.login({ subject, region, budgetMs, urgency: 'foreground', mayBeSent });
      await terminals.saveAccessId(lease, { unionId, accessId: fields['accessId'] ?? '', region });
      const stored = await accounts.identify(unionId);
      if (stored) return stored;
      throw erasedMeanwhile();
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : 'internal';
      if (error instanceof BrokerError && error.isUnsent) void limits.giveBack(lease.id, 'new');
      // Not announced: a caller from after the erasure, or the account's phone, may wait for this lease.
      const failure = code === 'not_found' ? undefined : code;
      const waitMs = error instanceof BrokerError ? error.waitMs : undefined;
      await terminals.release(lease, undefined, failure, waitMs).catch((storeError: unknown) => {
        log.warn({ subject: lease.id, err: storeError }, 'a lease could not be released; it expires by itself');
      });
      throw error;
    } finally {
      this.#heldLeases.remove(lease);
    }
  }
}

function asWaiting(region: string | undefined) {
  return { region, cause: 'new', urgency: 'foreground' } as const;
}

function erasedMeanwhile(): BrokerError {
  return new BrokerError('not_found', { detail: 'The account was erased while its accessId was being obtained' });
}
