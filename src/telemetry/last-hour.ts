import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import { ERRORS, type ErrorCode } from '../token/errors.ts';
import {
  type LoginOutcome,
  type Observer,
  OF_ALL_ACCOUNTS,
  OF_ONE_ACCOUNT,
  type ReadOutcome,
  type RenewalOutcome,
  type SessionOutcome,
  withListener,
} from '../token/observer.ts';
import type { AccountId } from '../token/subject.ts';
import { NO_SHARES, type RecentCounts, type ShareCounts, THRESHOLDS } from './finding-facts.ts';
import { errorCodeOf } from './metrics.ts';

const MINUTE_MS = 60_000;
/** The current minute, and the 60 minutes before it. */
const MINUTES = 61;
/** Events are counted in slots of 10 s. */
const SLOTS = 6;
const SLOT_MS = MINUTE_MS / SLOTS;
/** Findings look at the last whole minutes, and the current one. */
const MINUTES_OF_FINDINGS = 5;

/** Returns the function that tells the time as epoch ms, by the wall clock of now: a later change moves no event. */
export function steadyTime(clock: Clock): () => number {
  const startMs = clock.now() - clock.monotonic();
  return () => startMs + clock.monotonic();
}

/** The number of a slot since 1970. */
function slotOf(ms: number): number {
  return Math.floor(ms / SLOT_MS);
}

function minuteOf(slot: number): number {
  return Math.floor(slot / SLOTS);
}

/** Counts events by kind, for the last hour. Its memory is bounded: one number per kind and slot. It needs no timer. */
export class MinuteCounts<Kind extends string> {
  readonly #now: () => number;
  /** By {@link slotOf}. A slot takes the place of the one an hour before it. Slots without an event are missing. */
  readonly #slots: { readonly number: number; readonly counts: Map<Kind, number> }[] = [];

  /** @param now see {@link steadyTime}. Counts with the same one have the same minutes */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(kind: Kind): void {
    const number = slotOf(this.#now());
    const place = number % (MINUTES * SLOTS);
    const former = this.#slots[place];
    const slot = former?.number === number ? former : { number, counts: new Map<Kind, number>() };
    this.#slots[place] = slot;
    slot.counts.set(kind, (slot.counts.get(kind) ?? 0) + 1);
  }

  /** The counts of the last 60 whole minutes, the oldest first, and of `minute`, the current one. No empty kinds. */
  series(minute = minuteOf(slotOf(this.#now()))): Record<string, number[]> {
    const lists: Record<string, number[]> = {};
    this.#slots.forEach(({ number, counts }) => {
      const at = minuteOf(number) - minute + MINUTES - 1;
      if (at < 0) return;
      for (const [kind, count] of counts) {
        const list = lists[kind] ?? Array.from({ length: MINUTES }, () => 0);
        lists[kind] = list;
        list[at] = (list[at] ?? 0) + count;
      }
    });
    return lists;
  }

  /** Returns the counts of the last `minutes` whole minutes, at most 60, and of the current one, without zeros. */
  within(minutes: number): Readonly<Partial<Record<Kind, number>>> {
    return this.#since((minuteOf(slotOf(this.#now())) - minutes) * SLOTS);
  }

  /** Returns the counts of the last 60 to 70 s, without zeros. */
  lately(): Readonly<Partial<Record<Kind, number>>> {
    return this.#since(slotOf(this.#now()) - SLOTS);
  }

  /** The mean number of events of a kind per second, over the last whole minute and the current one. */
  perSecond(kind: Kind): number {
    const now = this.#now();
    const seconds = (MINUTE_MS + (now % MINUTE_MS)) / 1_000;
    return (this.#since((minuteOf(slotOf(now)) - 1) * SLOTS)[kind] ?? 0) / seconds;
  }

  #since(first: number): Partial<Record<Kind, number>> {
    const sums: Partial<Record<Kind, number>> = {};
    this.#slots.forEach(({ number, counts }) => {
      if (number < first) return;
      for (const [kind, count] of counts) sums[kind] = (sums[kind] ?? 0) + count;
    });
    return sums;
  }
}

/** The last accounts of some minutes. */
function lastAccounts(
  clock: Clock,
  { accounts: max, minutes }: { readonly accounts: number; readonly minutes: number },
): LRUCache<AccountId, true> {
  // Without a resolution, the cache sets no timer.
  return new LRUCache({ max, ttl: minutes * MINUTE_MS, ttlResolution: 0, perf: { now: () => clock.monotonic() } });
}

/** Failures of one account in a row count once: one account alone is no share. */
function failuresInRow() {
  let last: AccountId | undefined;
  /** @param account `undefined`: it is not known. @returns whether this failure counts */
  return (account: AccountId | undefined): boolean => {
    const isNew = account === undefined || account !== last;
    last = account;
    return isNew;
  };
}

/** The counts of a replica by minute, for its status and its findings. `failedRenewals`: those in the background. */
export function countsByMinute(clock: Clock) {
  const now = steadyTime(clock);
  const counts = {
    reads: new MinuteCounts<ReadOutcome | ErrorCode>(now),
    renewals: new MinuteCounts<RenewalOutcome | ErrorCode>(now),
    logins: new MinuteCounts<LoginOutcome>(now),
    sessions: new MinuteCounts<SessionOutcome>(now),
  };
  return {
    ...counts,
    failedRequests: new MinuteCounts<ErrorCode>(now),
    failedRenewals: new MinuteCounts<ErrorCode>(now),
    loginsSent: new MinuteCounts<'login'>(now),
    endedTokens: new MinuteCounts<'token'>(now),
    shares: new MinuteCounts<keyof ShareCounts>(now),
    /** Failed reads of the account whose read failed last: one account alone is no share. */
    repeatedFailures: new MinuteCounts<ErrorCode>(now),
    /** Why the events of a share failed. A refused login: its outcome and result code. */
    reasons: {
      failedLogins: new MinuteCounts<string>(now),
      rejectedLogins: new MinuteCounts<string>(now),
      failedReads: new MinuteCounts<string>(now),
      refusedSessions: new MinuteCounts<string>(now),
    },
    usual: { usualSessions: 0, usualRefusedSessions: 0 },
    isNewRead: failuresInRow(),
    isNewRejection: failuresInRow(),
    /** Those whose logins have failed since one succeeded here: as many as a finding needs. */
    failedAccounts: lastAccounts(clock, THRESHOLDS.noLogin),
    endedByRenewals: lastAccounts(clock, THRESHOLDS.endedByRenewals),
    /** The series of one hour, and its start: the clock is read once, because the next minute may begin. */
    lastHour() {
      const minute = minuteOf(slotOf(now()));
      // By the wall clock of now. Its minute and the minute of the counts may begin a millisecond apart.
      const setMinutes = Math.round((clock.now() - now()) / MINUTE_MS);
      return {
        from: new Date((minute + setMinutes - MINUTES + 1) * MINUTE_MS).toISOString(),
        reads: counts.reads.series(minute),
        renewals: counts.renewals.series(minute),
        logins: counts.logins.series(minute),
        sessions: counts.sessions.series(minute),
      };
    },
  };
}

/** The outcomes of logins that the vendor has not seen. `busy`: the broker kept its own pace. */
const UNSENT: ReadonlySet<LoginOutcome> = new Set<LoginOutcome>(['busy', 'circuit_open']);
/** The outcomes of logins that are no failures of the vendor. */
const NO_FAULTS: ReadonlySet<string> = new Set<LoginOutcome>(['success', ...UNSENT, ...OF_ONE_ACCOUNT]);
const REJECTED: ReadonlySet<string> = new Set(OF_ALL_ACCOUNTS);
/** The vendor refuses a field of the login: that of one account, or all. */
const REFUSED = 'request' satisfies LoginOutcome;

/** Without malformed ones: anybody can send them, and they lock no user out. */
const REFUSED_SESSIONS: ReadonlySet<SessionOutcome> = new Set(['session_invalid', 'session_expired', 'unknown_key']);

/** @param of returns the counts of some time */
function sharesOf(
  { shares, reads, repeatedFailures, sessions }: ReturnType<typeof countsByMinute>,
  of: <Kind extends string>(counts: MinuteCounts<Kind>) => Readonly<Partial<Record<Kind, number>>>,
): ShareCounts {
  const checks = of(sessions);
  return {
    ...NO_SHARES,
    ...of(shares),
    // The two counts of a read may be in different slots.
    reads: Math.max(0, sumOf(of(reads)) - sumOf(of(repeatedFailures))),
    sessions: sumOf(checks) - (checks.malformed ?? 0),
    uncheckedSessions: checks.session_check_unavailable ?? 0,
  };
}

function sumOf(counts: Readonly<Partial<Record<string, number>>>): number {
  return Object.values(counts).reduce<number>((sum, count = 0) => sum + count, 0);
}

/** The numbers that findings are made of, and the most frequent failures. */
export function recentCounts(counts: ReturnType<typeof countsByMinute>) {
  const { minutes } = THRESHOLDS.noLogin;
  const { shares, reasons, usual, logins, failedAccounts, endedTokens, endedByRenewals } = counts;
  const faults = Object.entries(logins.within(minutes)).filter(([outcome]) => !NO_FAULTS.has(outcome));
  const recent = sharesOf(counts, (kinds) => kinds.within(MINUTES_OF_FINDINGS));
  const hour = sharesOf(counts, (kinds) => kinds.within(60));
  const usualSessions = hour.sessions - recent.sessions;
  if (usualSessions >= THRESHOLDS.usual.least) {
    Object.assign(usual, { usualSessions, usualRefusedSessions: hour.refusedSessions - recent.refusedSessions });
  }
  const all: RecentCounts = {
    ...recent,
    ...usual,
    halfHourLogins: shares.within(minutes).logins ?? 0,
    halfHourFailedLogins: faults.reduce((sum, [, count]) => sum + count, 0),
    failedAccounts: [...failedAccounts.keys()].length,
    endedTokens: endedTokens.within(60).token ?? 0,
    endedByRenewals: [...endedByRenewals.keys()].length,
  };
  const lately = sharesOf(counts, (kinds) => kinds.lately());
  const [rejection, vendorCode] = reasonOf(reasons.rejectedLogins)?.split(' ') ?? [];
  return {
    counts: all,
    lately,
    reasons: {
      logins: reasonOf(reasons.failedLogins) ?? mostFrequent(Object.fromEntries(faults)),
      rejections: rejection ? { reason: rejection, ...(vendorCode && { vendorCode: Number(vendorCode) }) } : undefined,
      reads: reasonOf(reasons.failedReads),
      refusals: reasonOf(reasons.refusedSessions),
    },
  };
}

/** The most frequent failure lately. If there is none, of five minutes. */
function reasonOf(counts: MinuteCounts<string>): string | undefined {
  return mostFrequent(counts.lately()) ?? mostFrequent(counts.within(MINUTES_OF_FINDINGS));
}

/** Of equally frequent kinds, the first by name: the place of a slot must not decide. */
function mostFrequent(counts: Readonly<Partial<Record<string, number>>>): string | undefined {
  const kinds = Object.entries(counts);
  return kinds.sort(([name, one = 0], [otherName, other = 0]) => other - one || name.localeCompare(otherName))[0]?.[0];
}

/** Returns `observer`, which then also counts in `counts`, by the outcomes of the metrics. */
export function countingObserver(observer: Observer, counts: ReturnType<typeof countsByMinute>): Observer {
  const { shares, reasons } = counts;
  const countFailure = (share: keyof typeof reasons, reason: string): void => {
    shares.add(share);
    reasons[share].add(reason);
  };
  return withListener(observer, {
    tokenServed(outcome, _, endedFor) {
      counts.reads.add(outcome);
      if (endedFor) counts.endedByRenewals.set(endedFor, true);
    },
    readFailed(error, account) {
      const code = errorCodeOf(error);
      counts.reads.add(code);
      if (ERRORS[code].status < 500) return;
      if (counts.isNewRead(account)) countFailure('failedReads', code);
      else counts.repeatedFailures.add(code);
    },
    renewalEnded: (_, outcome) => counts.renewals.add(outcome),
    renewalFailed(cause, error) {
      counts.renewals.add(errorCodeOf(error));
      if (cause === 'background') counts.failedRenewals.add(errorCodeOf(error));
    },
    loginSent: () => counts.loginsSent.add('login'),
    loginEnded(outcome, vendorCode, durationMs, waitedMs, account) {
      counts.logins.add(outcome);
      if (UNSENT.has(outcome)) return;
      shares.add('logins');
      const isFault = !NO_FAULTS.has(outcome);
      if (isFault) counts.failedAccounts.set(account, true);
      else counts.failedAccounts.clear();
      if (REJECTED.has(outcome) || (outcome === REFUSED && counts.isNewRejection(account))) {
        countFailure('rejectedLogins', `${outcome} ${vendorCode ?? ''}`);
      } else if (isFault) countFailure('failedLogins', outcome);
      const tookMs = durationMs - waitedMs;
      if (outcome === 'success' && tookMs > THRESHOLDS.slowLoginMs) shares.add('slowLogins');
    },
    accountClosed: () => shares.add('closedAccounts'),
    endedUnrenewed: () => counts.endedTokens.add('token'),
    sessionChecked(outcome) {
      counts.sessions.add(outcome);
      if (REFUSED_SESSIONS.has(outcome)) countFailure('refusedSessions', outcome);
    },
  });
}
