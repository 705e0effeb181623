import type { Clock } from '../token/clock.ts';
import { ERRORS, type ErrorCode, isErrorCode } from '../token/errors.ts';
import {
  type LoginOutcome,
  type Observer,
  OF_ALL_ACCOUNTS,
  OF_ONE_ACCOUNT,
  type ReadOutcome,
  type RenewalOutcome,
  type SessionOutcome,
} from '../token/observer.ts';
import type { AccountId } from '../token/subject.ts';
import { type RecentCounts, type ShareCounts, THRESHOLDS } from './finding-facts.ts';
import { errorCodeOf } from './metrics.ts';

const MINUTE_MS = 60_000;
/** The current minute, and the 60 minutes before it. */
const MINUTES = 61;
/** Events are counted in slots of 10 s. */
const SLOTS = 6;
const SLOT_MS = MINUTE_MS / SLOTS;
/** Slots of {@link MinuteCounts.lately}: whole ones, and the current one. */
const LATE_SLOTS = 7;
/** Findings look at the last whole minutes, and the current one. */
const MINUTES_OF_FINDINGS = 5;

/**
 * The minutes in which a replica counts: those of the wall clock at the start. A later change of the wall clock moves
 * no event.
 */
class Minutes {
  readonly #clock: Clock;
  /** The wall clock minus the monotonic clock, at the start. */
  readonly #startMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.now() - clock.monotonic();
  }

  /** The present moment as epoch ms, by the wall clock at the start. */
  now(): number {
    return this.#startMs + this.#clock.monotonic();
  }

  /** Epoch ms by the wall clock of now. Its minute and the minute of the counts may begin a millisecond apart. */
  startOf(minute: number): number {
    const setMinutes = Math.round((this.#clock.now() - this.now()) / MINUTE_MS);
    return (minute + setMinutes) * MINUTE_MS;
  }
}

function minuteOf(ms: number): number {
  return Math.floor(ms / MINUTE_MS);
}

function slotOf(ms: number): number {
  return Math.floor(ms / SLOT_MS) % (MINUTES * SLOTS);
}

/**
 * Counts events by kind and minute, for the last hour. Its memory is bounded: one small array per kind. It needs no
 * timer.
 */
export class MinuteCounts<Kind extends string> {
  readonly #minutes: Minutes;
  readonly #counts = new Map<Kind, Uint32Array>();
  /** The newest minute that has a slot: minutes since 1970. */
  #newest: number;

  constructor(clock: Clock, minutes = new Minutes(clock)) {
    this.#minutes = minutes;
    this.#newest = minuteOf(minutes.now());
  }

  add(kind: Kind): void {
    const now = this.#minutes.now();
    this.#clearNewSlots(minuteOf(now));
    const counts = this.#counts.get(kind) ?? new Uint32Array(MINUTES * SLOTS);
    this.#counts.set(kind, counts);
    const slot = slotOf(now);
    counts[slot] = (counts[slot] ?? 0) + 1;
  }

  /**
   * Returns the counts of the last 60 whole minutes, the oldest first, and of the current one. Omits kinds without an
   *   event.
   * @param minute the current one
   */
  series(minute = minuteOf(this.#minutes.now())): Record<string, number[]> {
    this.#clearNewSlots(minute);
    const oldest = this.#newest + 1;
    const lists = [...this.#counts].map(([kind, counts]) => {
      const countOf = (minute: number) => {
        const first = (minute % MINUTES) * SLOTS;
        return counts.subarray(first, first + SLOTS).reduce((sum, count) => sum + count, 0);
      };
      return [kind, Array.from({ length: MINUTES }, (_, at) => countOf(oldest + at))] as const;
    });
    return Object.fromEntries(lists.filter(([, list]) => list.some((count) => count > 0)));
  }

  /**
   * Returns the counts of the last `minutes` whole minutes and of the current one, without zeros.
   * @param minutes at most 60
   */
  within(minutes: number, minute?: number): Readonly<Partial<Record<Kind, number>>> {
    const sums = Object.entries(this.series(minute)).map(([kind, list]) => {
      return [kind, list.slice(-minutes - 1).reduce((sum, count) => sum + count, 0)] as const;
    });
    return Object.fromEntries(sums.filter(([, count]) => count > 0)) as Partial<Record<Kind, number>>;
  }

  /** Returns the counts of the last 60 to 70 s, without zeros. */
  lately(): Readonly<Partial<Record<Kind, number>>> {
    const now = this.#minutes.now();
    this.#clearNewSlots(minuteOf(now));
    const slots = Array.from({ length: LATE_SLOTS }, (_, ago) => slotOf(now - ago * SLOT_MS));
    const sums = [...this.#counts].map(([kind, counts]) => {
      return [kind, slots.reduce((sum, slot) => sum + (counts[slot] ?? 0), 0)] as const;
    });
    return Object.fromEntries(sums.filter(([, count]) => count > 0)) as Partial<Record<Kind, number>>;
  }

  /** The mean number of events of a kind per second, over the last whole minute and the current one. */
  perSecond(kind: Kind): number {
    const now = this.#minutes.now();
    const seconds = (MINUTE_MS + (now % MINUTE_MS)) / 1_000;
    return (this.within(1, minuteOf(now))[kind] ?? 0) / seconds;
  }

  #clearNewSlots(now: number): void {
    for (let step = 0; this.#newest + step < now && step < MINUTES; step += 1) {
      const first = ((now - step) % MINUTES) * SLOTS;
      for (const counts of this.#counts.values()) counts.fill(0, first, first + SLOTS);
    }
    this.#newest = Math.max(this.#newest, now);
  }
}

/** The accounts whose logins have failed since one succeeded here: the last ones, as many as a finding needs. */
class FailedAccounts {
  readonly #clock: Clock;
  /** The time of the last failure of each, by the monotonic clock. */
  readonly #failedAt = new Map<AccountId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  failed(account: AccountId): void {
    this.#failedAt.delete(account);
    this.#failedAt.set(account, this.#clock.monotonic());
    const [oldest] = this.#failedAt.keys();
    if (oldest !== undefined && this.#failedAt.size > THRESHOLDS.noLogin.accounts) this.#failedAt.delete(oldest);
  }

  succeeded(): void {
    this.#failedAt.clear();
  }

  within(minutes: number): number {
    const from = this.#clock.monotonic() - minutes * MINUTE_MS;
    return [...this.#failedAt.values()].filter((at) => at > from).length;
  }
}

/** Failures of one account in a row count once: one account alone is no share. */
class FailuresInRow {
  #last: AccountId | undefined;

  /** @param account `undefined`: it is not known. @returns whether this failure counts */
  counts(account: AccountId | undefined): boolean {
    const isNew = account === undefined || account !== this.#last;
    this.#last = account;
    return isNew;
  }
}

/** The counts of a replica by minute, for its status. `failedRenewals`: those in the background. */
export function countsByMinute(clock: Clock) {
  const minutes = new Minutes(clock);
  const counts = {
    reads: new MinuteCounts<ReadOutcome | ErrorCode>(clock, minutes),
    renewals: new MinuteCounts<RenewalOutcome | ErrorCode>(clock, minutes),
    logins: new MinuteCounts<LoginOutcome>(clock, minutes),
    sessions: new MinuteCounts<SessionOutcome>(clock, minutes),
  };
  return {
    ...counts,
    failedRequests: new MinuteCounts<ErrorCode>(clock, minutes),
    failedRenewals: new MinuteCounts<ErrorCode>(clock, minutes),
    loginsSent: new MinuteCounts<'login'>(clock, minutes),
    events: new MinuteCounts<'slowLogins' | 'closedAccounts' | 'endedTokens'>(clock, minutes),
    /** Failed reads, and refused logins by outcome and result code, without those of {@link FailuresInRow}. */
    failedReads: new MinuteCounts<ErrorCode>(clock, minutes),
    rejections: new MinuteCounts<string>(clock, minutes),
    readsInRow: new FailuresInRow(),
    rejectionsInRow: new FailuresInRow(),
    failedAccounts: new FailedAccounts(clock),
    /**
     * The series of one and the same hour, and its start: the clock is read once, because the next minute may begin.
     */
    lastHour() {
      const minute = minuteOf(minutes.now());
      return {
        from: minutes.startOf(minute - MINUTES + 1),
        reads: counts.reads.series(minute),
        renewals: counts.renewals.series(minute),
        logins: counts.logins.series(minute),
        sessions: counts.sessions.series(minute),
      };
    },
  };
}

/** The outcomes of logins that the vendor has not seen. `busy`: the broker kept its own pace. */
const UNSENT: ReadonlySet<string> = new Set<LoginOutcome>(['busy', 'circuit_open']);
/** The outcomes of logins that are no failures of the vendor. */
const NO_FAULTS: ReadonlySet<string> = new Set<LoginOutcome>(['success', ...OF_ONE_ACCOUNT]);
const REJECTED: ReadonlySet<string> = new Set(OF_ALL_ACCOUNTS);
/** The vendor refuses a field of the login: that of one account, or all. */
const REFUSED = 'request' satisfies LoginOutcome;

/** The numbers that findings are made of, and the most frequent failures. */
export function recentCounts(counts: ReturnType<typeof countsByMinute>) {
  const { minutes } = THRESHOLDS.noLogin;
  const halfHour = sentIn(counts.logins.within(minutes));
  const halfHourFailed = pick(halfHour, (outcome) => !NO_FAULTS.has(outcome));
  const recent: RecentCounts = {
    ...shareCounts(counts, (kind) => kind.within(MINUTES_OF_FINDINGS)),
    halfHourLogins: sum(halfHour),
    halfHourFailedLogins: sum(halfHourFailed),
    failedAccounts: counts.failedAccounts.within(minutes),
    endedTokens: counts.events.within(60).endedTokens ?? 0,
  };
  const reasons = {
    logins: reasonOf(counts.logins, (all) => failedOf(sentIn(all))) ?? mostFrequent(halfHourFailed),
    rejections: rejectionOf(reasonOf(counts.rejections)),
    reads: reasonOf(counts.failedReads),
  };
  return { counts: recent, lately: shareCounts(counts, (kind) => kind.lately()), reasons };
}

interface AnyCounts {
  within(minutes: number): Counts;
  lately(): Counts;
}

function shareCounts(counts: ReturnType<typeof countsByMinute>, of: (kind: AnyCounts) => Counts): ShareCounts {
  const [reads, logins, sessions, events, failedReads] = [
    of(counts.reads),
    sentIn(of(counts.logins)),
    of(counts.sessions),
    of(counts.events),
    sum(of(counts.failedReads)),
  ];
  const count = (kinds: Counts, kind: string) => kinds[kind] ?? 0;
  return {
    logins: sum(logins),
    failedLogins: sum(failedOf(logins)),
    rejectedLogins: sum(of(counts.rejections)),
    slowLogins: count(events, 'slowLogins'),
    closedAccounts: count(events, 'closedAccounts'),
    // Anybody can send junk, and it locks no user out.
    sessions: sum(sessions) - count(sessions, 'malformed'),
    refusedSessions: count(sessions, 'session_invalid') + count(sessions, 'session_expired'),
    uncheckedSessions: count(sessions, 'session_check_unavailable'),
    reads: sum(pick(reads, (outcome) => !isFailedRead(outcome))) + failedReads,
    failedReads,
  };
}

type Counts = Readonly<Partial<Record<string, number>>>;

function sentIn(logins: Counts): Counts {
  return pick(logins, (outcome) => !UNSENT.has(outcome));
}

function failedOf(logins: Counts): Counts {
  return pick(logins, (outcome) => !NO_FAULTS.has(outcome) && !REJECTED.has(outcome));
}

function isFailedRead(outcome: string): outcome is ErrorCode {
  return isErrorCode(outcome) && ERRORS[outcome].status >= 500;
}

/** The most frequent failure lately. If there is none, of five minutes. */
function reasonOf(kind: AnyCounts, failed = (counts: Counts) => counts): string | undefined {
  return mostFrequent(failed(kind.lately())) ?? mostFrequent(failed(kind.within(MINUTES_OF_FINDINGS)));
}

/** @param rejection the outcome and the result code, as {@link countingObserver} counts them */
function rejectionOf(rejection: string | undefined) {
  const [reason, code] = rejection?.split(' ') ?? [];
  return reason === undefined ? undefined : { reason, ...(code && { vendorCode: Number(code) }) };
}

function pick(counts: Counts, isChosen: (kind: string) => boolean): Counts {
  return Object.fromEntries(Object.entries(counts).filter(([kind]) => isChosen(kind)));
}

function sum(counts: Counts): number {
  return Object.values(counts).reduce<number>((total, one = 0) => total + one, 0);
}

function mostFrequent(counts: Counts): string | undefined {
  return Object.entries(counts).sort(([, one = 0], [, other = 0]) => other - one)[0]?.[0];
}

/** Returns `observer`, which then also counts in `counts`, by the outcomes of the metrics. */
export function countingObserver(observer: Observer, counts: ReturnType<typeof countsByMinute>): Observer {
  return {
    ...observer,
    tokenServed(outcome, leftMs) {
      observer.tokenServed(outcome, leftMs);
      counts.reads.add(outcome);
    },
    readFailed(error, account) {
      observer.readFailed(error, account);
      const code = errorCodeOf(error);
      counts.reads.add(code);
      if (isFailedRead(code) && counts.readsInRow.counts(account)) counts.failedReads.add(code);
    },
    renewalEnded(cause, outcome) {
      observer.renewalEnded(cause, outcome);
      counts.renewals.add(outcome);
    },
    renewalFailed(cause, error) {
      observer.renewalFailed(cause, error);
      counts.renewals.add(errorCodeOf(error));
      if (cause === 'background') counts.failedRenewals.add(errorCodeOf(error));
    },
    loginSent() {
      observer.loginSent();
      counts.loginsSent.add('login');
    },
    loginEnded(outcome, vendorCode, durationMs, waitedMs, account) {
      observer.loginEnded(outcome, vendorCode, durationMs, waitedMs, account);
      counts.logins.add(outcome);
      if (NO_FAULTS.has(outcome)) counts.failedAccounts.succeeded();
      else if (!UNSENT.has(outcome)) counts.failedAccounts.failed(account);
      if (REJECTED.has(outcome) || (outcome === REFUSED && counts.rejectionsInRow.counts(account))) {
        counts.rejections.add(`${outcome} ${vendorCode ?? ''}`);
      }
      const tookMs = durationMs - waitedMs;
      if (outcome === 'success' && tookMs > THRESHOLDS.slowLoginMs) counts.events.add('slowLogins');
    },
    accountClosed() {
      observer.accountClosed();
      counts.events.add('closedAccounts');
    },
    endedUnrenewed(tokens) {
      observer.endedUnrenewed(tokens);
      for (let token = 0; token < tokens; token += 1) counts.events.add('endedTokens');
    },
    sessionChecked(outcome) {
      observer.sessionChecked(outcome);
      counts.sessions.add(outcome);
    },
  };
}
