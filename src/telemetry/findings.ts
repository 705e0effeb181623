import type { Contact, VendorDomain } from '../token/contact-history.ts';
import {
  FINDING_CODES,
  type Finding,
  type FindingCode,
  type FindingFacts,
  type ReplicaState,
} from '../token/findings.ts';
import type { RedisErrorKind } from '../token/observer.ts';
import type { ScheduleOutlook, StoreHistory } from '../token/ports.ts';

const SECOND_MS = 1_000;
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

/** What one replica finds. With the sum of all counts, it is what the fleet finds. */
export function replicaFindings(facts: ReplicaFacts): FoundFacts[] {
  const found = [
    ...redisFindings(facts),
    ...facts.vendorDomains.flatMap((domain) => domainFindings(domain, facts.monotonic)),
    ...loginFindings(facts),
    ...sessionFindings(facts),
    ...clockFindings(facts),
  ];
  const { counts, reasons } = facts;
  if (counts.endedTokens > 0) found.push({ code: 'tokens_ended', count: counts.endedTokens });
  // Also if another finding explains it: apps get errors, which no cause alone says.
  const failing = frequent('reads_fail', counts.failedReads, counts.reads, THRESHOLDS.failedReads);
  return inOrder([...found, ...failing.map((one) => ({ ...one, ...named({ reason: reasons.reads }) }))]);
}

function redisFindings({ redis, monotonic }: ReplicaFacts): FoundFacts[] {
  if (!redis) return [];
  const { outage, refusedWrites, lastLoss } = redis;
  const found: FoundFacts[] = [];
  if (outage && isLong(outage, monotonic, THRESHOLDS.redisOutage)) {
    found.push({
      code: 'redis_unreachable',
      since: outage.failingSince,
      ...named({ reason: outage.lastFailure?.reason }),
    });
  }
  if (refusedWrites && refusedWrites.lastMonotonic - refusedWrites.sinceMonotonic >= THRESHOLDS.refusedWritesMs) {
    found.push({ code: 'redis_refuses_writes', since: refusedWrites.since, reason: refusedWrites.kind });
  }
  if (lastLoss && monotonic - lastLoss.monotonic < THRESHOLDS.dataLossMs) {
    found.push({ code: lastLoss.history === 'lost' ? 'redis_lost_data' : 'redis_went_back', since: lastLoss.at });
  }
  return found;
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

/** Whether nothing succeeds there. `now` is of the monotonic clock. A circuit that is not closed has seen many accounts fail. */
function isOutage(contact: Contact, now: number, isCircuitOpen = false): boolean {
  const { outage, openCircuit, outageForgottenMs } = THRESHOLDS;
  if (now - (contact.failedMonotonic ?? now) >= outageForgottenMs) return false;
  return isLong(contact, now, isCircuitOpen ? openCircuit : outage);
}

function isLong(contact: Contact, now: number, long: { readonly least: number; readonly ms: number }) {
  const { failingSince, failingSinceMonotonic = now, failures } = contact;
  return failingSince !== undefined && failures >= long.least && now - failingSinceMonotonic >= long.ms;
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

function sessionFindings({ counts, sessionServer, monotonic }: ReplicaFacts): FoundFacts[] {
  const { sessions, refusedSessions, uncheckedSessions } = counts;
  const unchecked = frequent('session_check_fails', uncheckedSessions, sessions, THRESHOLDS.uncheckedSessions);
  const isDown = sessionServer !== undefined && isOutage(sessionServer, monotonic);
  const reason = named({ reason: sessionServer?.lastFailure?.reason });
  const fails =
    isDown && unchecked.length === 0
      ? [{ code: 'session_check_fails', since: sessionServer.failingSince, ...reason } as const]
      : unchecked.map((one) => ({ ...one, ...reason }));
  return [...fails, ...frequent('sessions_refused', refusedSessions, sessions, THRESHOLDS.refusedSessions)];
}

function clockFindings({ clockOffsetMs = 0 }: ReplicaFacts): FoundFacts[] {
  if (Math.abs(clockOffsetMs) < THRESHOLDS.clockMs) return [];
  return [{ code: 'clock_differs', seconds: Math.round(clockOffsetMs / SECOND_MS), reason: 'redis' }];
}

type FleetReplica = ReplicaState & { readonly configuredAt: number };

/**
 * What only the whole fleet shows.
 * @param differentSince since when the replicas are known to differ, epoch ms; `undefined`: they do not
 */
export function fleetFindings(
  replicas: readonly FleetReplica[],
  schedule: ScheduleOutlook | undefined,
  now: number,
  differentSince = differingSince(replicas),
): FoundFacts[] {
  const found: FoundFacts[] = [];
  const missing = replicas.filter(({ missingSince }) => missingSince !== undefined);
  const alive = replicas.filter(({ missingSince }) => missingSince === undefined);
  if (missing.length > 0) {
    const since = Math.min(...missing.map(({ missingSince }) => missingSince ?? now));
    found.push({ code: 'replica_missing', count: missing.length, since, replicas: namesOf(missing) });
  }
  if (differentSince !== undefined && now - differentSince >= THRESHOLDS.configurationMs) {
    const different = differing(alive);
    // Without a count, none of them is the odd one.
    const count = different.length < alive.length ? { count: different.length } : {};
    found.push({ code: 'configuration_differs', ...count, since: differentSince, replicas: namesOf(different) });
  }
  if (schedule && schedule.overdueMs >= THRESHOLDS.overdueMs) {
    const [count = 0] = schedule.dueWithin;
    found.push({ code: 'renewals_late', count, seconds: Math.round(schedule.overdueMs / SECOND_MS) });
  }
  return found;
}

/**
 * Since when the replicas that are alive differ, as far as their own times tell, epoch ms: since the first replica of the
 * latest group. `undefined`: they do not differ.
 */
export function differingSince(replicas: readonly FleetReplica[]): number | undefined {
  const groups = groupsOf(replicas.filter(({ missingSince }) => missingSince === undefined));
  if (groups.length < 2) return undefined;
  return Math.max(...groups.map((group) => Math.min(...group.map(({ configuredAt }) => configuredAt))));
}

/** The replicas that differ from the largest group with one version and one configuration. All, if no group is the largest. */
function differing(alive: readonly FleetReplica[]): readonly FleetReplica[] {
  const [largest, ...others] = groupsOf(alive).sort((one, other) => other.length - one.length);
  return others[0]?.length === largest?.length ? alive : others.flat();
}

/** The replicas with one version and one configuration. */
function groupsOf(replicas: readonly FleetReplica[]): FleetReplica[][] {
  const groups = new Map<string, FleetReplica[]>();
  for (const replica of replicas) {
    const name = `${replica.version} ${replica.configuration}`;
    groups.set(name, [...(groups.get(name) ?? []), replica]);
  }
  return [...groups.values()];
}

function namesOf(replicas: readonly ReplicaState[]): string[] {
  return replicas.map(({ replica }) => replica).sort();
}

function frequent(
  code: FindingCode,
  count: number,
  all: number,
  { least, share: most }: { readonly least: number; readonly share: number },
): FoundFacts[] {
  const share = count / Math.max(1, all);
  return count >= least && share >= most ? [{ code, count, share: Math.min(1, Math.round(share * 100) / 100) }] : [];
}

/** Without what is not known. */
function named<Facts extends FindingFacts>(facts: { [Name in keyof Facts]: Facts[Name] | undefined }): Facts {
  return Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== undefined)) as Facts;
}

export function inOrder<Found extends { readonly code: FindingCode }>(found: readonly Found[]): Found[] {
  return [...found].sort((one, other) => FINDING_CODES.indexOf(one.code) - FINDING_CODES.indexOf(other.code));
}

const REFUSALS: Readonly<Record<string, string>> = {
  oom: 'its memory is full: give it more',
  readonly: 'it is read-only: it is no master, or too few replicas follow it',
  misconf: 'it cannot save its data to its disk',
};

type Sentence = (facts: FindingFacts, part: (fact: unknown, text: string) => string) => string;

const SENTENCES: Readonly<Record<FindingCode, Sentence>> = {
  redis_unreachable: ({ reason }, part) =>
    `Redis does not answer${part(reason, ` (${reason})`)}. Tokens come from memory: do not restart the replicas.`,
  redis_refuses_writes: ({ reason = '' }) =>
    `Redis refuses writes, because ${REFUSALS[reason] ?? 'of a fault of its own'}. Do not restart the replicas.`,
  vendor_rejects: ({ host, reason, vendorCode }, part) =>
    `The vendor${part(host, ` at ${host}`)} refuses your app, its signature or your clock` +
    `${part(reason, ` (${reason}${part(vendorCode, ` ${vendorCode}`)})`)}. Run check.`,
  vendor_down: ({ host, reason }, part) =>
    `No login succeeds at the vendor${part(host, ` at ${host}`)}${part(reason, ` (${reason})`)}. Run check, then ask the vendor.`,
  accounts_closed: ({ count }, part) =>
    `The vendor closed ${part(count, `${count} `)}accounts within five minutes. Ask the vendor at once: their tokens are deleted.`,
  session_check_fails: ({ reason }, part) =>
    `Sessions cannot be checked${part(reason, ` (${reason})`)}. Repair your session server, or the way to it.`,
  sessions_refused: ({ share }, part) =>
    `${part(share, `${percent(share)} of the`) || 'Most'} sessions are refused. Try one with check --session.`,
  vendor_fails_logins: ({ share, reason }, part) =>
    `The vendor fails ${part(share, `${percent(share)} of the `)}logins${part(reason, `, most with ${reason}`)}. Ask the vendor.`,
  reads_fail: ({ share, reason }, part) =>
    `${part(share, `${percent(share)} of the reads`) || 'Reads'} fail${part(reason, `, most with ${reason}`)}. See the log.`,
  tokens_ended: ({ count }, part) =>
    `${part(count, many(count, 'token')) || 'Some tokens'} in use ended without a renewal in the last hour. Look for the cause above, or report it.`,
  redis_lost_data: () =>
    'Redis came back without its data. The replicas write back what they remember. Repeat recent erasures.',
  redis_went_back: () =>
    'Redis came back with older data. The replicas write back what they remember. Repeat recent erasures.',
  renewals_late: ({ seconds, count }, part) =>
    `Renewals are ${part(seconds, `${seconds} s `)}late${part(count, `, and ${many(count, 'token')} ${count === 1 ? 'waits' : 'wait'}`)}. Compare VENDOR_MAX_RPS with what falls due.`,
  vendor_slow: ({ share }, part) =>
    `${part(share, `${percent(share)} of the logins`) || 'Logins'} take more than ${SLOW_LOGIN_MS / SECOND_MS} s at the vendor. Ask the vendor.`,
  replica_missing: ({ replicas = [] }) =>
    `Replicas do not answer: ${replicas.join(', ')}. Each has ended without a shutdown, or hangs. See why.`,
  configuration_differs: ({ count, replicas = [] }) =>
    `${count === undefined ? 'The versions or configurations differ between' : 'Replicas have another version or configuration:'} ${replicas.join(', ')}. Finish the roll-out, or reload the secrets.`,
  clock_differs: ({ host, seconds }, part) =>
    `The clocks of this host and of ${host ?? 'Redis'} differ${part(seconds, ` by ${Math.abs(seconds ?? 0)} s`)}. Correct NTP.`,
};

function many(count = 0, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function percent(share = 0): string {
  return `${Math.round(share * 100)} %`;
}

/** @param since epoch ms, if the facts do not tell */
export function asFinding({ since: known, ...found }: FoundFacts, since: number): Finding {
  const part = (fact: unknown, text: string) => (fact === undefined ? '' : text);
  return { ...found, message: SENTENCES[found.code](found, part), since: known ?? since };
}
