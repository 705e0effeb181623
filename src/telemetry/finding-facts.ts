import type { Contact, VendorDomain } from '../token/contact-history.ts';
import type { FindingCode, FindingFacts } from '../token/findings.ts';
import type { DataLoss } from '../token/ports.ts';

export const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** `npm run reference` writes docs/console.md from these. A share needs enough events: a few at night say nothing. */
export const THRESHOLDS = {
  /** Shares are of five whole minutes and the current one. */
  countedMs: 6 * MINUTE_MS,
  shares: {
    failedLogins: { code: 'vendor_fails_logins', of: 'logins', least: 10, share: 0.1 },
    rejectedLogins: { code: 'vendor_rejects', of: 'logins', least: 5, share: 0.05 },
    slowLogins: { code: 'vendor_slow', of: 'logins', least: 10, share: 0.2 },
    closedAccounts: { code: 'accounts_closed', of: 'logins', least: 10, share: 0.05 },
    refusedSessions: { code: 'sessions_refused', of: 'sessions', least: 10, share: 0.5 },
    uncheckedSessions: { code: 'session_check_fails', of: 'sessions', least: 10, share: 0.05 },
    failedReads: { code: 'reads_fail', of: 'reads', least: 10, share: 0.05 },
  },
  /** The share of the last minute that is a finding, too: old successes must not hide what has just begun. */
  lately: { times: 2, most: 0.75 },
  /**
   * Users whose sessions ended are refused each day. From so many sessions of the hour before on, what is usual is
   * known, and a share is a finding if it is so much larger. Before, that share is assumed, and `shares` has the bound.
   * Either is more than so many standard deviations, which chance seldom explains.
   */
  usual: { least: 100, above: 0.1, assumed: 0.3, deviations: 4 },
  /** It is over if so many failures were to be expected lately, and far fewer came. */
  missedFailures: 15,
  /** A finding stays until its share is so much smaller. So it does not come and go. */
  kept: { times: 0.5, below: 0.1 },
  /** With few logins: none succeeds. One account alone may be the cause itself. */
  noLogin: { least: 5, accounts: 2, minutes: 30 },
  /** The last accounts of a day whose apps were refused with a token that a background renewal had replaced. */
  endedByRenewals: { least: 5, accounts: 1_000, minutes: 24 * 60 },
  /** A login that takes longer, without its waits, is slow. */
  slowLoginMs: 3 * SECOND_MS,
  redisOutage: { least: 3, ms: 5 * SECOND_MS },
  /** From the first refusal to the last. A planned failover takes less. */
  refusedWritesMs: 3 * SECOND_MS,
  /** An operator who looks once a day sees a loss of data. */
  dataLossMs: 24 * 60 * MINUTE_MS,
  /** Failures and time without a success. A login makes three attempts, so one account does not reach it soon. */
  outage: { least: 20, ms: 5 * MINUTE_MS },
  /** The same for a domain whose circuit is not closed: many accounts have seen it fail. */
  openCircuit: { least: 1, ms: 20 * SECOND_MS },
  /** An outage without another failure for so long is over, or nobody needs the system. */
  outageForgottenMs: 15 * MINUTE_MS,
  overdueMs: 5 * MINUTE_MS,
  clockMs: 30 * SECOND_MS,
  certificateMs: 14 * 24 * 60 * MINUTE_MS,
  /** Longer than a roll-out, or a reload of all replicas, lets them differ. */
  configurationMs: 5 * MINUTE_MS,
  /** A replica without a summary for so long has ended. If it did not say so, it is missing. */
  silentMs: 20 * SECOND_MS,
  /** How long a missing replica is shown. */
  missingMs: 15 * MINUTE_MS,
} as const;

/**
 * Counts of what apps and the vendor did in some time. Logins that were not sent are not in it: the circuit was open,
 * or the login budget had no place. The numbers of several replicas add up.
 */
export const NO_SHARES = {
  logins: 0,
  failedLogins: 0,
  /** The vendor refused the app, its signature, the clock or a field of the login. */
  rejectedLogins: 0,
  slowLogins: 0,
  closedAccounts: 0,
  sessions: 0,
  refusedSessions: 0,
  uncheckedSessions: 0,
  reads: 0,
  failedReads: 0,
};

export type ShareCounts = Readonly<typeof NO_SHARES>;

/** Counts of the last five minutes, unless a field names another time. */
export const NO_COUNTS = {
  ...NO_SHARES,
  /** In the last half hour. */
  halfHourLogins: 0,
  /** Failed and rejected ones. */
  halfHourFailedLogins: 0,
  /** Accounts whose logins have failed since one succeeded, two at most. Of several replicas, the largest counts. */
  failedAccounts: 0,
  /** In the last hour. */
  endedTokens: 0,
  /** In the last hour that had enough sessions, without the last five minutes. */
  usualSessions: 0,
  usualRefusedSessions: 0,
  /** Accounts of the last day. */
  endedByRenewals: 0,
};

export type RecentCounts = Readonly<typeof NO_COUNTS>;

/** As many phones as the broker is made for. A larger count is forged. */
export const MAX_COUNT = 1e7;

/** The counts of several replicas, added up. */
export function sumOf<Counts extends Readonly<Record<keyof Counts, number>>>(counts: readonly Counts[]): Counts {
  const names = Object.keys(counts[0] ?? {}) as (keyof Counts)[];
  const sum = (key: keyof Counts) => counts.reduce((before, one) => Math.min(MAX_COUNT, before + one[key]), 0);
  return Object.fromEntries(names.map((key) => [key, sum(key)])) as Counts;
}

/** The facts that one replica knows. Times are epoch ms, or of the monotonic clock if their name says so. */
export interface ReplicaFacts {
  readonly now: number;
  readonly monotonic: number;
  readonly counts: RecentCounts;
  /** The same of the last 60 to 70 s. */
  readonly lately: ShareCounts;
  /** The most frequent kinds of failure. */
  readonly reasons: {
    readonly logins?: string | undefined;
    readonly rejections?: Pick<FindingFacts, 'reason' | 'vendorCode'> | undefined;
    readonly reads?: string | undefined;
    readonly refusals?: string | undefined;
  };
  /** `undefined`: the store is in this process. */
  readonly redis:
    | {
        /** Set while it, or a part of it, does not answer. */
        readonly outage: Contact | undefined;
        readonly refusedWrites: Contact | undefined;
        readonly losses: readonly DataLoss[];
      }
    | undefined;
  readonly vendorDomains: readonly VendorDomain[];
  readonly sessionServer: Contact | undefined;
  /** Of the servers that it has connected to, and when they end. */
  readonly certificates: readonly { readonly host: string; readonly endsAt: number }[];
  /** This host's clock minus that of Redis. */
  readonly clockOffsetMs: number | undefined;
}

/** A finding before its sentence. `since` is missing where only its first sight tells. */
export type FoundFacts = FindingFacts & { readonly code: FindingCode; readonly since?: number | undefined };

/** Whether nothing succeeds there (`now`: monotonic). A circuit that is not closed has seen many accounts fail. */
export function isOutage(contact: Contact & Partial<VendorDomain>, now: number): boolean {
  const { outage, openCircuit, outageForgottenMs } = THRESHOLDS;
  const { circuit = 'closed', failedMonotonic = now } = contact;
  return now - failedMonotonic < outageForgottenMs && isLong(contact, now, circuit === 'closed' ? outage : openCircuit);
}

export function isLong(contact: Contact, now: number, long: { readonly least: number; readonly ms: number }) {
  const { failingSince, failingSinceMonotonic = now, failures } = contact;
  return failingSince !== undefined && failures >= long.least && now - failingSinceMonotonic >= long.ms;
}

export type ShareName = keyof typeof THRESHOLDS.shares;

/** Of the time before a fault. */
interface UsualShare {
  readonly share: number;
  /** Number of events; infinite if it is not measured. */
  readonly of: number;
}

/** The shares that were too large at the last look, with what was usual before: a fault that lasts is not usual. */
export type StandingShares = Map<ShareName, UsualShare>;

/** Of no other share, anything is usual. */
function usualOf(name: ShareName, { usualSessions: of, usualRefusedSessions: refused }: RecentCounts): UsualShare {
  if (name !== 'refusedSessions') return { share: 0, of: Number.POSITIVE_INFINITY };
  const { least, assumed } = THRESHOLDS.usual;
  return of < least ? { share: assumed, of: Number.POSITIVE_INFINITY } : { share: ratio(refused, of).share, of };
}

/** Whether chance seldom makes a share of `all` events so much larger than usual. */
function isUnlikely(share: number, all: number, usual: UsualShare): boolean {
  const variance = usual.share * (1 - usual.share) * (1 / all + 1 / usual.of);
  return share - usual.share >= THRESHOLDS.usual.deviations * Math.sqrt(variance);
}

export function shareNames(code: FindingCode): ShareName[] {
  const names = Object.keys(THRESHOLDS.shares) as ShareName[];
  return names.filter((name) => THRESHOLDS.shares[name].code === code);
}

/**
 * The finding of a share that is too large in the last five minutes and lately, or much too large lately. It stays
 * until so many events came lately that the fault would show, and it did not. It tells the share and the count of
 * lately, if there were enough events.
 */
export function shareFinding(
  name: ShareName,
  { counts, lately }: Pick<ReplicaFacts, 'counts' | 'lately'>,
  standing: StandingShares,
  why: Pick<FindingFacts, 'reason' | 'vendorCode'> = {},
): FoundFacts[] {
  const { code, of, least, share: most } = THRESHOLDS.shares[name];
  const isStanding = standing.has(name);
  const usual = standing.get(name) ?? usualOf(name, counts);
  const isMeasured = Number.isFinite(usual.of);
  const bound = isMeasured ? usual.share + THRESHOLDS.usual.above : most;
  const [recent, late] = [ratio(counts[name], counts[of]), ratio(lately[name], lately[of])];
  const kept = (one: number) => usual.share + keptShare(one - usual.share);
  const isFrequent = ({ failed, all, share }: ReturnType<typeof ratio>, one: number) =>
    isStanding
      ? failed >= least / 2 && share >= kept(one)
      : failed >= least && share >= one && isUnlikely(share, all, usual);
  const isLate = late.share >= kept(bound);
  const wouldShow = lately[of] * (recent.share - usual.share) >= THRESHOLDS.missedFailures;
  // The users of closed accounts are locked out, also when no more accounts are closed.
  const stays = code === 'accounts_closed';
  const isFound =
    (isFrequent(recent, bound) && (stays || isLate || (isStanding && !wouldShow))) ||
    isFrequent(late, Math.max(bound, Math.min(THRESHOLDS.lately.times * most, THRESHOLDS.lately.most)));
  if (!isFound) {
    standing.delete(name);
    return [];
  }
  standing.set(name, usual);
  const told = stays || !isLate || lately[of] < least ? recent : late;
  return [
    {
      code,
      count: told.failed,
      share: rounded(told.share),
      ...(isMeasured && { usualShare: rounded(usual.share) }),
      ...why,
    },
  ];
}

function rounded(share: number): number {
  return Math.round(100 * share) / 100;
}

/** A finding stays until its share is less than this. */
export function keptShare(share: number): number {
  return Math.max(THRESHOLDS.kept.times * share, share - THRESHOLDS.kept.below);
}

function ratio(failed: number, all: number) {
  return { failed, all, share: Math.min(1, failed / Math.max(1, all)) };
}
