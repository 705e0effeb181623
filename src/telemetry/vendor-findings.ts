import type { Contact, VendorDomain } from '../token/contact-history.ts';
import { OF_ALL_ACCOUNTS } from '../token/observer.ts';
import {
  type FoundFacts,
  isOutage,
  type ReplicaFacts,
  SECOND_MS,
  type StandingShares,
  shareFinding,
  THRESHOLDS,
} from './finding-facts.ts';

/** Returns the findings about the vendor, as far as this replica sees. */
export function vendorFindings(facts: ReplicaFacts, standing: StandingShares): FoundFacts[] {
  return [
    ...facts.vendorDomains.flatMap((domain) => domainFindings(domain, facts.monotonic)),
    ...loginFindings(facts, standing),
  ];
}

const REJECTIONS: ReadonlySet<string> = new Set(OF_ALL_ACCOUNTS);

function domainFindings(domain: VendorDomain, now: number): FoundFacts[] {
  const { host, lastFailure, failingSince: since, clockOffsetMs } = domain;
  const found: FoundFacts[] = [];
  if (lastFailure && isOutage(domain, now)) {
    const { reason, vendorCode } = lastFailure;
    const code = REJECTIONS.has(reason) ? 'vendor_rejects' : 'vendor_down';
    found.push({ code, host, since, reason: reasonOf(lastFailure), vendorCode });
  }
  if (Math.abs(clockOffsetMs) >= THRESHOLDS.clockMs) {
    found.push({ code: 'clock_differs', host, seconds: Math.round(clockOffsetMs / SECOND_MS) });
  }
  return found;
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
