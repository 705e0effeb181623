import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Observer, SessionOutcome } from '../token/observer.ts';
import type { AnnouncementFeed } from '../token/ports.ts';
import type { BelievedSessions, CachedPrincipal, Principal, SessionVerifier } from '../token/principal.ts';
import { type AccountId, accountId } from '../token/subject.ts';
import { sessionCheckUnavailable } from './session-server.ts';

/** Decides when a check runs. */
export interface CheckSchedule {
  /** @param check must not throw, but may reject @param account if the session was accepted before */
  run<Result>(check: () => Result | Promise<Result>, account?: AccountId): Result | Promise<Result>;
}

/** A signature check takes 25 to 120 µs, so those of one turn delay other requests by about 1 ms. */
const MAX_PER_TURN = 8;
/** Checks that wait. They take less than a second. */
const MAX_WAITING = 4_096;

/** Spreads the checks that this thread does by itself over the turns of the event loop, so that they delay no other. */
export function checkQueue(clock: Clock): CheckSchedule {
  /** Checks of this turn: those that waited for it, and those that came in it. */
  let inTurn = 0;
  /** In order. */
  const waiting: (() => void)[] = [];
  return { run };

  /** Runs a check, at once or in a later turn. @throws BrokerError `session_check_unavailable` if too many wait */
  function run<Result>(check: () => Result | Promise<Result>): Result | Promise<Result> {
    if (inTurn === 0) clock.nextTurn(startTurn);
    inTurn += 1;
    if (inTurn <= MAX_PER_TURN) return check();
    if (waiting.length >= MAX_WAITING) {
      return Promise.reject(sessionCheckUnavailable(new Error('Too many sessions wait for their check')));
    }
    return new Promise<void>((resolve) => waiting.push(resolve)).then(check);
  }

  function startTurn(): void {
    const started = waiting.splice(0, MAX_PER_TURN);
    inTurn = started.length;
    if (started.length > 0) clock.nextTurn(startTurn);
    for (const start of started) start();
  }
}

export interface SessionCacheOptions {
  /** How long an accepted session stays fresh; 0: accepted sessions are not cached. */
  readonly cacheSeconds: number;
  /** How long a refusal is repeated without a new check; 0: refusals are not cached. */
  readonly refusalMs: number;
  readonly schedule: CheckSchedule;
  /** Whether a check asks no server. */
  readonly isCheckLocal: boolean;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Of the ends of sessions. */
  readonly announcements: Pick<AnnouncementFeed, 'completeSince'>;
  /** Most memory of accepted sessions, approximately. */
  readonly maxBytes: number;
}

interface Accepted {
  readonly principal: CachedPrincipal;
  /** When its last check began. By the monotonic clock. */
  readonly checkedAt: number;
  /** How often sessions were forgotten before. */
  readonly forgettings: number;
  /** Until then the session needs no new check, unless it expires before. By the monotonic clock. */
  readonly freshUntil: number;
  /** Requests until then may use the stale session while the session server is unavailable. By the monotonic clock. */
  readonly staleUntil: number;
}

interface Refused {
  readonly refusal: BrokerError;
  /** By the monotonic clock. */
  readonly repeatedUntil: number;
}

/** Most accepted sessions. */
const MAX_ENTRIES = 10_000;
/** Approximate memory of one entry, besides the characters of the session. */
const ENTRY_BYTES = 512;
/** Sessions of one account, so that an account with many sessions displaces its own ones only. */
const MAX_PER_ACCOUNT = 50;
/** Anybody can cause refusals. They have a bound of their own, so that they never displace an accepted session. */
const REFUSED_MAX_BYTES = 1_048_576;
/** Accounts whose sessions were forgotten last: more than may be in the time that a check takes. */
const MAX_FORGOTTEN = 10_000;
/** Delay before the session server is asked again about a stale session. */
const RETRY_DELAY_MS = 2_000;

/**
 * Caches the results of another verifier:
 * - An accepted session is fresh for `cacheSeconds`. If its next check ends with `session_check_unavailable`, the
 *   stale session is accepted in requests of another `cacheSeconds`, however long their check takes. It is never
 *   accepted past the principal's `expiresAt`.
 * - A refusal is repeated for `refusalMs`.
 * - A check that fails for another reason is not cached.
 * - Once the sessions of an account are to be forgotten, each is checked again. So is every session, when this replica
 *   may have missed that.
 *
 * These times count from the start of the check. Concurrent callers with the same session share one check that asks a
 * server. Each account has at most 50 accepted sessions in the cache.
 */
export class SessionCache implements SessionVerifier<CachedPrincipal>, BelievedSessions {
  #verifier: SessionVerifier;
  readonly #options: SessionCacheOptions;
  /** The key is the whole session, so that two sessions are never mixed up. */
  readonly #accepted: LRUCache<string, Accepted>;
  /** The cached sessions of each account, the latest check last. */
  readonly #ofAccount = new Map<AccountId, Set<string>>();
  /** A number for each time that an account's sessions were forgotten: the later, the larger. */
  readonly #forgotten = new LRUCache<AccountId, number>({ maxSize: MAX_FORGOTTEN, sizeCalculation: () => 1 });
  #forgettings = 0;
  readonly #refused: LRUCache<string, Refused>;
  /** The checks that run now, if they ask a server. */
  readonly #running = new Map<string, Promise<CachedPrincipal>>();

  constructor(verifier: SessionVerifier, options: SessionCacheOptions) {
    this.#verifier = verifier;
    this.#options = options;
    this.#accepted = new LRUCache<string, Accepted>({
      max: MAX_ENTRIES,
      maxSize: options.maxBytes,
      sizeCalculation: (_entry, session) => session.length + ENTRY_BYTES,
      dispose: ({ principal }, session) => this.#forgetOfAccount(principal.account, session),
    });
    this.#refused = new LRUCache<string, Refused>({
      maxSize: REFUSED_MAX_BYTES,
      sizeCalculation: (_entry, session) => session.length + ENTRY_BYTES,
    });
  }

  /** Uses another verifier for new checks. Sessions that are accepted in memory stay accepted for `cacheSeconds`. */
  useVerifier(verifier: SessionVerifier): void {
    this.#verifier = verifier;
  }

  forget(account: AccountId): void {
    for (const session of [...(this.#ofAccount.get(account) ?? [])]) this.#accepted.delete(session);
    this.#forgettings += 1;
    this.#forgotten.set(account, this.#forgettings);
  }

  verify(session: string): CachedPrincipal | Promise<CachedPrincipal> {
    const { clock, observer } = this.#options;
    const now = clock.monotonic();
    const accepted = this.#accepted.get(session);
    if (accepted && this.#isFresh(accepted, now)) {
      observer.sessionChecked('cached');
      return accepted.principal;
    }
    const refused = this.#refused.get(session);
    if (refused && now < refused.repeatedUntil) {
      observer.sessionChecked(outcomeOf(refused.refusal));
      return Promise.reject(refused.refusal);
    }
    const principal = this.#running.get(session) ?? this.#check(session, accepted, now);
    if (!accepted || !(principal instanceof Promise)) return principal;
    return principal.catch((error: unknown) => this.#stalePrincipal(accepted, error, now));
  }

  /** While Redis does not answer, no account's sessions are ended. */
  #isFresh({ principal, checkedAt, freshUntil }: Accepted, now: number): boolean {
    const completeSince = this.#options.announcements.completeSince() ?? Number.NEGATIVE_INFINITY;
    return now < freshUntil && checkedAt >= completeSince && this.#isUnexpired(principal);
  }

  #isUnexpired({ expiresAt }: Principal): boolean {
    return this.#options.clock.now() < expiresAt;
  }

  /** @param now the answer may rest on data as old as the request, so its age counts from here */
  #check(session: string, accepted: Accepted | undefined, now: number): CachedPrincipal | Promise<CachedPrincipal> {
    const { schedule, isCheckLocal } = this.#options;
    const forgettings = this.#forgettings;
    const ask = () => schedule.run(() => this.#verifier.verify(session), accepted?.principal.account);
    const answer = ask();
    if (answer instanceof Promise) {
      const current = isCheckLocal ? answer : this.#currentAnswer(answer, forgettings, ask);
      const check = this.#finish(session, accepted, current, now);
      // A Map of checks in a queue would take 5 % of the CPU of a first read: V8 keeps each former table of a Map, and
      // all that is in it, until it has collected the first one.
      if (!isCheckLocal) this.#running.set(session, check);
      return check;
    }
    return this.#accept(session, answer, now);
  }

  /** Asks again, if the sessions of the account were forgotten meanwhile: the server may have answered before that. */
  async #currentAnswer(
    answer: Promise<Principal>,
    forgettings: number,
    ask: () => Principal | Promise<Principal>,
  ): Promise<Principal> {
    let [principal, asOf] = [await answer, forgettings];
    while (this.#isForgotten(accountId(principal.unionId), asOf)) {
      asOf = this.#forgettings;
      principal = await ask();
    }
    return principal;
  }

  /** Whether the sessions of the account were forgotten later than `forgettings`. */
  #isForgotten(account: AccountId, forgettings: number): boolean {
    return (this.#forgotten.get(account) ?? 0) > forgettings;
  }

  async #finish(
    session: string,
    accepted: Accepted | undefined,
    answer: Promise<Principal>,
    startedAt: number,
  ): Promise<CachedPrincipal> {
    try {
      return this.#accept(session, await answer, startedAt);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      if (error.code === 'session_check_unavailable') {
        this.#delayNextCheck(session, accepted, startedAt);
        throw error;
      }
      const { observer, refusalMs } = this.#options;
      observer.sessionChecked(outcomeOf(error));
      this.#accepted.delete(session);
      if (refusalMs > 0) this.#refused.set(session, { refusal: error, repeatedUntil: startedAt + refusalMs });
      throw error;
    } finally {
      this.#running.delete(session);
    }
  }

  #accept(session: string, principal: Principal, startedAt: number): CachedPrincipal {
    this.#options.observer.sessionChecked('accepted');
    const cacheMs = this.#options.cacheSeconds * 1_000;
    // With the spread in front, it takes 2 µs more with Node.js 20.
    const cached: CachedPrincipal = { account: accountId(principal.unionId), latest: undefined, ...principal };
    if (cacheMs > 0) {
      this.#remember(session, {
        principal: cached,
        checkedAt: startedAt,
        forgettings: this.#forgettings,
        freshUntil: startedAt + cacheMs,
        staleUntil: startedAt + 2 * cacheMs,
      });
    }
    return cached;
  }

  #remember(session: string, accepted: Accepted): void {
    const { account } = accepted.principal;
    this.#accepted.set(session, accepted);
    // A session that is larger than the cache is not in it.
    if (!this.#accepted.has(session)) return;
    const sessions = this.#ofAccount.get(account) ?? new Set();
    this.#ofAccount.set(account, sessions.add(session));
    const [oldest = session] = sessions;
    if (sessions.size > MAX_PER_ACCOUNT) this.#accepted.delete(oldest);
  }

  #forgetOfAccount(account: AccountId, session: string): void {
    const sessions = this.#ofAccount.get(account);
    sessions?.delete(session);
    if (sessions?.size === 0) this.#ofAccount.delete(account);
  }

  /** Callers of the next 2 s get the stale session, if it is usable, without a check. */
  #delayNextCheck(session: string, before: Accepted | undefined, startedAt: number): void {
    const { clock, observer } = this.#options;
    // Newer sessions of the account may have displaced it.
    const accepted = this.#accepted.get(session) ?? before;
    const isUsable = accepted && this.#isUsable(accepted, startedAt);
    observer.sessionChecked(isUsable ? 'kept' : 'session_check_unavailable');
    if (!isUsable) return;
    const freshUntil = Math.min(clock.monotonic() + RETRY_DELAY_MS, accepted.staleUntil);
    this.#remember(session, { ...accepted, checkedAt: startedAt, freshUntil });
  }

  /** @param now when this caller came: others share the check @throws `error`, unless the stale session is usable */
  #stalePrincipal(accepted: Accepted, error: unknown, now: number): CachedPrincipal {
    const isUnavailable = error instanceof BrokerError && error.code === 'session_check_unavailable';
    if (isUnavailable && this.#isUsable(accepted, now)) return accepted.principal;
    throw error;
  }

  /** @param now when the request came: the check may take 5 s, which is longer than some `cacheSeconds` */
  #isUsable({ principal, staleUntil, forgettings }: Accepted, now: number): boolean {
    return now < staleUntil && this.#isUnexpired(principal) && !this.#isForgotten(principal.account, forgettings);
  }
}

function outcomeOf({ sessionFault, code }: BrokerError): SessionOutcome {
  return sessionFault ?? code;
}
