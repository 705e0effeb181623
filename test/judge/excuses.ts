import { type Facts, type IssuedToken, SETTLE_MS } from './facts.ts';
import type { Exchange, Fault, VendorLogin } from './recording.ts';

// Each function is one limit of docs/reliability.md, "Limits of the guarantees". The judge excuses nothing else.

/** Writes that were confirmed this long before a master ended may not have reached its replica. */
const ASYNCHRONOUS_MS = 1_000;
/** After the Sentinels have named a new master, every replica of the broker uses it within this time. */
const FOLLOW_MS = 2_000;

/** The time whose writes a fault of Redis has lost; `undefined`: it loses none. */
function lostWrites({ kind, from, until, dataOf }: Fault): readonly [from: number, until: number] | undefined {
  if (kind === 'redis-empty') return [Number.NEGATIVE_INFINITY, until];
  if (kind === 'redis-old' && dataOf !== undefined) return [dataOf, until];
  if (kind === 'cluster-master') return [from - ASYNCHRONOUS_MS, until];
  const isFailover = kind === 'failover-planned' || kind === 'failover-forced';
  return isFailover ? [from - ASYNCHRONOUS_MS, until + FOLLOW_MS] : undefined;
}

/**
 * Whether a logout or an erasure may have no effect at some time between `from` and `until`, because Redis lost it: "An
 * asynchronous failover may lose the last writes", "Redis comes back empty", and a Redis that went back in time.
 */
export function isLost(facts: Facts, removal: Exchange, from: number, until = from): boolean {
  const { executedAt, sentAt, endedAt } = removal;
  // When it may have been last written: by its request, or by a replica that repeated it.
  let writtenAt = executedAt ?? endedAt;
  for (const fault of facts.faultsBetween(Number.NEGATIVE_INFINITY, until)) {
    const lost = lostWrites(fault);
    const isRestart = fault.kind === 'redis-old' || fault.kind === 'redis-empty';
    if (!lost || writtenAt < lost[0] || (executedAt ?? (isRestart ? sentAt : endedAt)) > lost[1]) continue;
    if (fault.kind !== 'redis-old' || !isHealed(facts, removal, fault, from)) return true;
    writtenAt = fault.until + facts.bounds.healMs;
  }
  return false;
}

/** Whether a replica that remembers the logout or the erasure has had the time to repeat it. */
function isHealed(facts: Facts, removal: Exchange, fault: Fault, at: number): boolean {
  const { healMs, breakerMs } = facts.bounds;
  return Array.from({ length: facts.recording.replicas }, (_, replica) => replica).some((replica) => {
    const healedBy = facts.boundFrom(replica, fault.until, healMs) + healMs;
    if (at <= healedBy || facts.hasRestarted(replica, removal.sentAt, healedBy)) return false;
    if (removal.heardAt) return (removal.heardAt.get(replica) ?? Number.POSITIVE_INFINITY) < fault.until;
    return replica === removal.replica || !facts.isCutOff(replica, removal.sentAt - breakerMs, removal.endedAt);
  });
}

/**
 * Redis has lost a token, as in the limits of a failover, of an empty Redis and of one that went back in time, and no
 * replica can write it back: each one that is known to have served it has restarted since.
 */
export function isTokenForgotten(facts: Facts, token: IssuedToken, at: number): boolean {
  return facts.recording.faults.some((fault) => {
    const lost = lostWrites(fault);
    if (!lost || at < fault.from) return false;
    if (facts.storedBy(token) < lost[0] || token.receivedAt > lost[1]) return false;
    const { tokensHealMs } = facts.bounds;
    const healedBy = facts.boundFromForAll(fault.until, tokensHealMs) + tokensHealMs;
    const holders = token.replica === undefined ? [] : [[token.replica, token.deliveredAt] as const];
    return [...holders, ...token.servedBy]
      .filter(([, knownAt]) => knownAt < fault.from)
      .every(([replica, knownAt]) => facts.hasRestarted(replica, knownAt, healedBy));
  });
}

/**
 * The answer of the vendor did not reach the broker, or the replica died before it could store the token: no replica
 * knows that the login has ended the former token, until an app reports it.
 */
export function isUnknownToTheBroker(facts: Facts, login: IssuedToken): boolean {
  const { deliveredAt, receivedAt, replica, servedBy } = login;
  if (deliveredAt === Number.POSITIVE_INFINITY) return true;
  if (facts.recording.store && (servedBy.size > 0 || facts.storedBy(login) < Number.POSITIVE_INFINITY)) return false;
  // Where the run sees the store, a replica that is only late is known to be.
  const lateKinds = facts.recording.store ? [] : ['freeze', 'clock'];
  const faults = facts.faultsBetween(receivedAt, facts.storedBy(login));
  return faults.some((fault) => {
    if (replica !== undefined && fault.replica !== replica) return false;
    return lateKinds.includes(fault.kind) || (fault.kind === 'kill' && fault.from >= receivedAt);
  });
}

/**
 * "While Redis is down there is no lease: two replicas may log in for the same subject." Also after a fault of a
 * replica. The vendor's faults excuse a second login only once the broker has given up the first one.
 */
export function mayLogInTwice(facts: Facts, first: VendorLogin, second: VendorLogin): boolean {
  const hasGivenUp = second.receivedAt >= first.receivedAt + facts.bounds.vendorTimeoutMs;
  return hasGivenUp || facts.isDisturbed(second.receivedAt - SETTLE_MS, second.receivedAt);
}

/**
 * "Redis stalls while a token is being stored: another replica then needs a second login", "a lost token costs a
 * login", and a replica that dies loses what only it had. Only the vendor's own faults lose no token that was
 * delivered.
 */
export function mayHaveLostTheToken(facts: Facts, former: VendorLogin, login: VendorLogin): boolean {
  return facts.isDisturbed(former.receivedAt - SETTLE_MS, login.receivedAt);
}

/** The clock of a replica was wrong: it takes an ended token for a valid one, or has stored a wrong end of a token. */
export function hadWrongClock(facts: Facts, { receivedAt }: IssuedToken, at: number): boolean {
  return facts.faultsBetween(receivedAt - SETTLE_MS, at).some(({ kind }) => kind === 'clock');
}

/**
 * "While newcomers wait, the others get one of four places, and `vendor_busy` at once for the rest." A login waits only
 * while the vendor gets as many as the budget allows.
 */
export function isLoginBudgetUsedUp(facts: Facts, { endedAt }: Exchange): boolean {
  const { loginsPerSecond } = facts.bounds;
  const loginsInWindow = Math.floor((0.8 * loginsPerSecond * BUDGET_WINDOW_MS) / 1_000);
  const times = facts.recording.logins.map(({ receivedAt }) => receivedAt);
  const isFull = (from: number) =>
    times.filter((time) => time >= from && time < from + BUDGET_WINDOW_MS).length >= loginsInWindow;
  return times.filter((time) => Math.abs(time - endedAt) <= BUDGET_WINDOW_MS).some(isFull);
}

/** An account gets few renewals for reports, and one only once in a while. */
export function isReportTooSoon(facts: Facts, { account, uniqueId, sentAt, code }: Exchange): boolean {
  if (code !== 'rate_limited') return false;
  const acts = facts.actsOf({ account, uniqueId });
  return acts.some(({ kind, sentAt: at }) => kind === 'report' && at < sentAt && at > sentAt - REPORTS_MS);
}

/** How long a report may hold off the next one. */
const REPORTS_MS = 60_000;

/** The shortest queue in which every login except that of a newcomer is refused. */
const BUDGET_WINDOW_MS = 250;
