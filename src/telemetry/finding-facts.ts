import type { Contact, VendorDomain } from '../token/contact-history.ts';
import type { FindingCode, FindingFacts } from '../token/findings.ts';
import type { RedisErrorKind } from '../token/observer.ts';
import type { StoreHistory } from '../token/ports.ts';

export const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/**
 * When the facts become a finding (docs/console.md). Shares are of the last five minutes. A share needs a minimum of
 * events, so that a few requests at night say nothing.
 */
export const THRESHOLDS = {
  /** The counts are of five whole minutes and the current one. */
  countedMs: 6 * MINUTE_MS,
  failedLogins: { least: 10, share: 0.1 },
  /** So many logins of the last minute tell whether the vendor still fails them. */
  recoveredLogins: { least: 20 },
  rejectedLogins: { least: 5, share: 0.05 },
  slowLogins: { least: 10, share: 0.2 },
  closedAccounts: { least: 10, share: 0.05 },
  refusedSessions: { least: 10, share: 0.5 },
  uncheckedSessions: { least: 10, share: 0.05 },
  failedReads: { least: 10, share: 0.05 },
  redisOutage: { least: 3, ms: 5 * SECOND_MS },
  /** From the first refusal to the last. A planned failover takes less. */
  refusedWritesMs: 3 * SECOND_MS,
  /** An operator who looks once a day sees a loss of data. */
  dataLossMs: 24 * 60 * MINUTE_MS,
  /**
   * Number of failed attempts and time since the last success, for the vendor and the session server. A login makes three
   * attempts, so one account does not reach it soon.
   */
  outage: { least: 20, ms: 5 * MINUTE_MS },
  /** The same for a domain whose circuit is not closed: many accounts have seen it fail. */
  openCircuit: { least: 1, ms: 20 * SECOND_MS },
  /** An outage without another failure for so long is over, or nobody needs the system. */
  outageForgottenMs: 15 * MINUTE_MS,
  overdueMs: 5 * MINUTE_MS,
  clockMs: 30 * SECOND_MS,
  /** Longer than a roll-out, or a reload of all replicas, lets them differ. */
  configurationMs: 5 * MINUTE_MS,
} as const;

/** A login that takes longer, without its waits, is slow. */
export const SLOW_LOGIN_MS = 3_000;

/**
 * What apps and the vendor did in the last five minutes. Logins that were not sent are not in it: the circuit was open, or the
 * login budget had no place. The numbers of several replicas add up.
 */
export interface RecentCounts {
  readonly logins: number;
  readonly failedLogins: number;
  /** In the last whole minute and the current one. */
  readonly recentLogins: number;
  readonly recentFailedLogins: number;
  /** The vendor refused the app, its signature or the clock. */
  readonly rejectedLogins: number;
  readonly slowLogins: number;
  readonly closedAccounts: number;
  readonly sessions: number;
  readonly refusedSessions: number;
  readonly uncheckedSessions: number;
  readonly reads: number;
  readonly failedReads: number;
  /** In the last hour. */
  readonly endedTokens: number;
}

export const NO_COUNTS: RecentCounts = {
  logins: 0,
  failedLogins: 0,
  recentLogins: 0,
  recentFailedLogins: 0,
  rejectedLogins: 0,
  slowLogins: 0,
  closedAccounts: 0,
  sessions: 0,
  refusedSessions: 0,
  uncheckedSessions: 0,
  reads: 0,
  failedReads: 0,
  endedTokens: 0,
};

/** What one replica knows. Times are epoch ms, or of the monotonic clock if their name says so. */
export interface ReplicaFacts {
  readonly now: number;
  readonly monotonic: number;
  readonly counts: RecentCounts;
  /** The most frequent kinds of failure. */
  readonly reasons: { readonly logins?: string | undefined; readonly reads?: string | undefined };
  /** `undefined`: the store is in this process. */
  readonly redis:
    | {
        /** Set while it, or a part of it, does not answer. */
        readonly outage: Contact | undefined;
        readonly refusedWrites:
          | Readonly<{ kind: RedisErrorKind; since: number; sinceMonotonic: number; lastMonotonic: number }>
          | undefined;
        readonly lastLoss:
          | Readonly<{ at: number; monotonic: number; history: Exclude<StoreHistory, 'same'> }>
          | undefined;
      }
    | undefined;
  readonly vendorDomains: readonly VendorDomain[];
  readonly sessionServer: Contact | undefined;
  /** This host's clock minus that of Redis. */
  readonly clockOffsetMs: number | undefined;
}

/** A finding before its sentence. `since` is missing where only its first sight tells. */
export type FoundFacts = FindingFacts & { readonly code: FindingCode; readonly since?: number | undefined };

/** Whether nothing succeeds there. `now` is of the monotonic clock. A circuit that is not closed has seen many accounts fail. */
export function isOutage(contact: Contact, now: number, isCircuitOpen = false): boolean {
  const { outage, openCircuit, outageForgottenMs } = THRESHOLDS;
  if (now - (contact.failedMonotonic ?? now) >= outageForgottenMs) return false;
  return isLong(contact, now, isCircuitOpen ? openCircuit : outage);
}

export function isLong(contact: Contact, now: number, long: { readonly least: number; readonly ms: number }) {
  const { failingSince, failingSinceMonotonic = now, failures } = contact;
  return failingSince !== undefined && failures >= long.least && now - failingSinceMonotonic >= long.ms;
}

export function frequent(
  code: FindingCode,
  count: number,
  all: number,
  { least, share: most }: { readonly least: number; readonly share: number },
): FoundFacts[] {
  const share = count / Math.max(1, all);
  return count >= least && share >= most ? [{ code, count, share: Math.min(1, Math.round(share * 100) / 100) }] : [];
}

/** Without what is not known. */
export function named<Facts extends FindingFacts>(facts: { [Name in keyof Facts]: Facts[Name] | undefined }): Facts {
  return Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined)) as Facts;
}
