import type { Contact, VendorDomain } from '../token/contact-history.ts';
import {
  type FoundFacts,
  frequent,
  isOutage,
  named,
  type RecentCounts,
  type ReplicaFacts,
  SECOND_MS,
  THRESHOLDS,
} from './finding-facts.ts';

/** What is wrong at the vendor, as far as this replica sees. */
export function vendorFindings(facts: ReplicaFacts): FoundFacts[] {
  return [...facts.vendorDomains.flatMap((domain) => domainFindings(domain, facts.monotonic)), ...loginFindings(facts)];
}

const REJECTIONS: ReadonlySet<string> = new Set(['configuration', 'clock_skew']);

function domainFindings(domain: VendorDomain, now: number): FoundFacts[] {
  const { host, circuit, lastFailure, failingSince, clockOffsetMs } = domain;
  const found: FoundFacts[] = [];
  if (lastFailure && failingSince !== undefined && isOutage(domain, now, circuit !== 'closed')) {
    const { reason, vendorCode } = lastFailure;
    const code = REJECTIONS.has(reason) ? 'vendor_rejects' : 'vendor_down';
    found.push({ code, host, since: failingSince, ...named({ reason: reasonOf(lastFailure), vendorCode }) });
  }
  if (Math.abs(clockOffsetMs) >= THRESHOLDS.clockMs) {
    found.push({ code: 'clock_differs', host, seconds: Math.round(clockOffsetMs / SECOND_MS) });
  }
  return found;
}

/** The kind of the failure, and what exactly went wrong. */
function reasonOf({ reason, problem }: NonNullable<Contact['lastFailure']>): string {
  return problem === undefined ? reason : `${reason}: ${problem}`;
}

/** Whether every domain with failures in the time of the counts is down. The finding of each domain then says more. */
function outagesExplain({ vendorDomains, monotonic }: ReplicaFacts): boolean {
  const failing = vendorDomains.filter(
    ({ failedMonotonic: at }) => at !== undefined && monotonic - at < THRESHOLDS.countedMs,
  );
  return failing.length > 0 && failing.every((domain) => isOutage(domain, monotonic, domain.circuit !== 'closed'));
}

function loginFindings(facts: ReplicaFacts): FoundFacts[] {
  const { counts, reasons, vendorDomains } = facts;
  const { logins, failedLogins, rejectedLogins, slowLogins, closedAccounts } = counts;
  const { lastFailure } = vendorDomains.find((domain) => REJECTIONS.has(domain.lastFailure?.reason ?? '')) ?? {};
  const rejected = frequent('vendor_rejects', rejectedLogins, logins, THRESHOLDS.rejectedLogins).map((one) => ({
    ...one,
    ...named({ reason: lastFailure?.reason, vendorCode: lastFailure?.vendorCode }),
  }));
  const failed = frequent('vendor_fails_logins', failedLogins, logins, THRESHOLDS.failedLogins).map((one) => ({
    ...one,
    ...named({ reason: reasons.logins }),
  }));
  return [
    // The outage of every failing domain says more.
    ...(outagesExplain(facts) ? [] : [...rejected, ...(isRecovered(counts) ? [] : failed)]),
    ...frequent('accounts_closed', closedAccounts, logins, THRESHOLDS.closedAccounts),
    ...frequent('vendor_slow', slowLogins, logins, THRESHOLDS.slowLogins),
  ];
}

/** A repaired vendor is not broken for five minutes more. */
function isRecovered({ recentLogins, recentFailedLogins }: RecentCounts): boolean {
  const { recoveredLogins, failedLogins } = THRESHOLDS;
  return recentLogins >= recoveredLogins.least && recentFailedLogins / recentLogins < failedLogins.share;
}
