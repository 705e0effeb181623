import type { Contact, VendorDomain } from '../token/contact-history.ts';
import { FINDING_CODES } from '../token/findings.ts';
import { OF_ALL_ACCOUNTS } from '../token/observer.ts';
import {
  type FoundFacts,
  isLong,
  isOutage,
  type ReplicaFacts,
  SECOND_MS,
  type StandingShares,
  shareFinding,
  THRESHOLDS,
} from './finding-facts.ts';

/** Returns the findings of one replica, or of the fleet if the counts are the sums of all replicas. */
export function replicaFindings(facts: ReplicaFacts, standing: StandingShares = new Map()): FoundFacts[] {
  const { counts, reasons } = facts;
  const found = [
    ...redisFindings(facts),
    ...facts.vendorDomains.flatMap((domain) => domainFindings(domain, facts.monotonic)),
    ...loginFindings(facts, standing),
    ...sessionFindings(facts, standing),
    ...clockFindings(facts.clockOffsetMs),
    ...certificateFindings(facts),
  ];
  if (counts.endedTokens > 0) found.push({ code: 'tokens_ended', count: counts.endedTokens });
  if (counts.endedByRenewals >= THRESHOLDS.endedByRenewals.least) {
    found.push({ code: 'renewals_end_tokens', count: counts.endedByRenewals });
  }
  // Also if another finding explains it: apps get errors, which no cause alone says.
  found.push(...shareFinding('failedReads', facts, standing, { reason: reasons.reads }));
  return inOrder(found.map(withoutUnknown));
}

function redisFindings({ redis, monotonic }: ReplicaFacts): FoundFacts[] {
  if (!redis) return [];
  const { outage, refusedWrites, losses } = redis;
  const found: FoundFacts[] = [];
  if (outage && isLong(outage, monotonic, THRESHOLDS.redisOutage)) {
    found.push({
      code: 'redis_unreachable',
      since: outage.failingSince,
      reason: outage.lastFailure && reasonOf(outage.lastFailure),
    });
  }
  const { failingSinceMonotonic = 0, failedMonotonic = 0 } = refusedWrites ?? {};
  if (refusedWrites && failedMonotonic - failingSinceMonotonic >= THRESHOLDS.refusedWritesMs) {
    const { failingSince: since, lastFailure } = refusedWrites;
    found.push({ code: 'redis_refuses_writes', since, reason: lastFailure?.reason });
  }
  for (const loss of losses) {
    if (monotonic - loss.monotonic >= THRESHOLDS.dataLossMs) continue;
    found.push({ code: loss.history === 'lost' ? 'redis_lost_data' : 'redis_went_back', since: loss.at });
  }
  return found;
}

const REJECTIONS: ReadonlySet<string> = new Set(OF_ALL_ACCOUNTS);

function domainFindings(domain: VendorDomain, now: number): FoundFacts[] {
  const { host, lastFailure, failingSince: since, clockOffsetMs } = domain;
  const clock = clockFindings(clockOffsetMs, host);
  if (!lastFailure || !isOutage(domain, now)) return clock;
  const { reason, vendorCode } = lastFailure;
  const code = REJECTIONS.has(reason) ? 'vendor_rejects' : 'vendor_down';
  return [{ code, host, since, reason: reasonOf(lastFailure), vendorCode }, ...clock];
}

/** The kind of the failure, and what exactly went wrong. */
export function reasonOf({ reason, problem }: NonNullable<Contact['lastFailure']>): string {
  return problem === undefined ? reason : `${reason}: ${problem}`;
}

/** Whether every domain with failures in the time of the counts is down. The finding of each domain then says more. */
function outagesExplain({ vendorDomains, monotonic }: ReplicaFacts): boolean {
  const failing = vendorDomains.filter(
    ({ failedMonotonic: at }) => at !== undefined && monotonic - at < THRESHOLDS.countedMs,
  );
  return failing.length > 0 && failing.every((domain) => isOutage(domain, monotonic));
}

function loginFindings(facts: ReplicaFacts, standing: StandingShares): FoundFacts[] {
  const { reasons } = facts;
  const shares = [
    ...shareFinding('rejectedLogins', facts, standing, reasons.rejections),
    ...shareFinding('failedLogins', facts, standing, { reason: reasons.logins }),
  ];
  return [
    // The outage of every failing domain says more.
    ...(outagesExplain(facts) ? [] : shares.length > 0 ? shares : noLoginFinding(facts)),
    ...shareFinding('closedAccounts', facts, standing),
    ...shareFinding('slowLogins', facts, standing),
  ];
}

/** At night, a few logins are all that there is. */
function noLoginFinding({ counts, reasons: { logins: reason } }: ReplicaFacts): FoundFacts[] {
  const { least, accounts } = THRESHOLDS.noLogin;
  const failAll = (failed: number, all: number) => failed >= least && failed >= all;
  const isFound =
    failAll(counts.failedLogins + counts.rejectedLogins, counts.logins) ||
    failAll(counts.halfHourFailedLogins, counts.halfHourLogins);
  if (!isFound || counts.failedAccounts < accounts) return [];
  const code = REJECTIONS.has(reason ?? '') ? 'vendor_rejects' : 'vendor_fails_logins';
  return [{ code, share: 1, reason }];
}

function sessionFindings(facts: ReplicaFacts, standing: StandingShares): FoundFacts[] {
  const { sessionServer, monotonic } = facts;
  const reason = sessionServer?.lastFailure?.reason;
  const found = shareFinding('uncheckedSessions', facts, standing, { reason });
  if (found.length === 0 && sessionServer && isOutage(sessionServer, monotonic)) {
    found.push({ code: 'session_check_fails', since: sessionServer.failingSince, reason });
  }
  return [...found, ...shareFinding('refusedSessions', facts, standing, { reason: facts.reasons.refusals })];
}

function clockFindings(offsetMs = 0, host?: string): FoundFacts[] {
  if (Math.abs(offsetMs) < THRESHOLDS.clockMs) return [];
  return [{ code: 'clock_differs', host, seconds: Math.round(offsetMs / SECOND_MS) }];
}

/** The first to end comes first. The seconds are negative once it has ended. */
export function certificateFindings({ certificates, now }: Pick<ReplicaFacts, 'certificates' | 'now'>) {
  const ending = certificates.filter(({ endsAt }) => endsAt - now < THRESHOLDS.certificateMs);
  const sorted = ending.sort((one, other) => one.endsAt - other.endsAt);
  return sorted.map(({ host, endsAt }) => {
    return { code: 'certificate_ends' as const, host, seconds: Math.round((endsAt - now) / SECOND_MS) };
  });
}

/** What is not known about a finding must not replace what another replica knows. */
function withoutUnknown(found: FoundFacts): FoundFacts {
  return Object.fromEntries(Object.entries(found).filter(([, fact]) => fact !== undefined)) as FoundFacts;
}

/** The most urgent first. */
export function inOrder<Found extends FoundFacts>(found: readonly Found[]): Found[] {
  const place = ({ code }: Found) => FINDING_CODES.indexOf(code);
  return [...found].sort((one, other) => place(one) - place(other));
}
