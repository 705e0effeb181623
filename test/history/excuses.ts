import type { Facts, IssuedToken, Removal } from './facts.ts';
import { type Exchange, type Fault, LOGINS_PER_SECOND, type VendorLogin } from './history.ts';

// Each function is one limit of docs/reliability.md, "Limits of the guarantees". The judge excuses nothing else.

/** After a Redis that went back in time, every replica has noticed it and healed Redis within this time. */
export const HEAL_MS = 10_000;
/** Writes that were confirmed this long before a master ended may not have reached its replica. */
const ASYNCHRONOUS_MS = 1_000;
/** After the Sentinels have named a new master, every replica of the broker uses it within this time. */
const FOLLOW_MS = 2_000;

/** "An asynchronous failover may lose the last writes. A logout or an erasure lost at that moment must be repeated." */
function isLostByFailover(facts: Facts, { endedAt }: Exchange): boolean {
  return facts.history.faults.some(({ kind, from, until }) => {
    if (kind === 'cluster-master') return endedAt >= from - ASYNCHRONOUS_MS && endedAt <= until;
    const isFailover = kind === 'failover-planned' || kind === 'failover-forced';
    return isFailover && endedAt >= from - ASYNCHRONOUS_MS && endedAt <= until + FOLLOW_MS;
  });
}

/**
 * A Redis that went back in time: for as long as the replicas heal it, what it had not yet is missing. After that, only
 * what no replica remembers: each one has restarted since, or did not hear of it.
 */
function isForgottenByOldRedis(facts: Facts, removal: Exchange, at: number): boolean {
  return facts.history.faults.some((fault) => {
    if (fault.kind !== 'redis-old' || fault.dataOf === undefined) return false;
    if (removal.endedAt < fault.dataOf || removal.sentAt > fault.until || at < fault.from) return false;
    const healedBy = facts.boundFromForAll(fault.until, HEAL_MS) + HEAL_MS;
    const remembers = (replica: number) => {
      const heard = replica === removal.replica || !couldNotReachRedis(facts, replica, removal.sentAt, removal.endedAt);
      return heard && !hasRestarted(facts, replica, removal.sentAt, healedBy);
    };
    return at <= healedBy || ![0, 1, 2].some(remembers);
  });
}

/**
 * Redis has lost a token, as in the limits of a failover, of an empty Redis and of one that went back in time, and no
 * replica can write it back: each one that is known to have served it has restarted since.
 */
export function isTokenForgotten(facts: Facts, { token, receivedAt, answeredAt }: IssuedToken, at: number): boolean {
  return facts.history.faults.some((fault) => {
    if (!LOSES_WRITES.has(fault.kind) || at < fault.from) return false;
    const lostFrom = fault.kind === 'redis-empty' ? 0 : (fault.dataOf ?? fault.from - ASYNCHRONOUS_MS);
    const lostUntil = fault.kind.startsWith('failover') ? fault.until + FOLLOW_MS : fault.from;
    if (answeredAt + STORED_MS < lostFrom || receivedAt > lostUntil) return false;
    const healedBy = facts.boundFromForAll(fault.until, HEAL_MS) + HEAL_MS;
    return !facts.exchanges.some(
      (read) =>
        read.token === token && read.endedAt < fault.from && !hasRestarted(facts, read.replica, read.endedAt, healedBy),
    );
  });
}

/** "Redis comes back empty": an erasure that only Redis knew is lost, and so is the fence of a logout. */
function isLostWithAllData(facts: Facts, removal: Exchange, at: number): boolean {
  return facts.history.faults.some(
    ({ kind, from, until }) => kind === 'redis-empty' && removal.sentAt <= until && at >= from,
  );
}

/**
 * "If only one replica cannot reach Redis, it does not hear of logouts and erasures on the others. It serves the tokens
 * in its memory, and may log in again."
 */
export function couldNotReachRedis(facts: Facts, replica: number, from: number, until: number): boolean {
  return facts.cutOffs(replica, from - BREAKER_MS, until).length > 0;
}

/** After a timeout of Redis, a replica does not ask it for half a second. */
const BREAKER_MS = 500;

/**
 * The answer of the vendor did not reach the broker, or the replica died before it could store the token: no replica
 * knows that the login has ended the former token, until an app reports it.
 */
export function isUnknownToTheBroker(facts: Facts, login: IssuedToken): boolean {
  if (!login.isDelivered) return true;
  const faults = facts.faultsBetween(login.receivedAt, login.answeredAt + STORED_MS);
  return faults.some(({ kind, from }) => {
    if (kind === 'freeze' || kind === 'clock') return true;
    return kind === 'kill' && from >= login.receivedAt;
  });
}

/** A token is stored within this time after the vendor's answer. */
const STORED_MS = 1_500;

/**
 * "While Redis is down there is no lease: two replicas may log in for the same subject." Also after a fault of a
 * replica.
 */
export function mayLogInTwice(facts: Facts, first: number, second: number): boolean {
  return !facts.history.faults.every(
    ({ kind, from, until }) => kind === 'vendor' || from > second || until < first - LOST_LEASE_MS,
  );
}

/** How long a lease and the login of a lost one may last after a fault. */
const LOST_LEASE_MS = 20_000;

/**
 * "Redis stalls while a token is being stored: another replica then needs a second login", "a lost token costs a
 * login", and a replica that dies loses what only it had. Only the vendor's own faults lose no token that was
 * delivered.
 */
export function mayHaveLostTheToken(facts: Facts, former: VendorLogin, login: VendorLogin): boolean {
  const faults = facts.faultsBetween(former.receivedAt - LOST_LEASE_MS, login.receivedAt);
  return faults.some(({ kind }) => kind !== 'vendor');
}

/** The clocks of the replicas differ: one takes an ended token for a valid one, or stored a wrong end of a token. */
export function clocksDiffer(facts: Facts, at: number): boolean {
  return facts.faultsBetween(at - TOKEN_LIFE_MS, at).some(({ kind }) => kind === 'clock');
}

/** No token of a run lives longer. */
const TOKEN_LIFE_MS = 90_000;

const LOSES_WRITES: ReadonlySet<Fault['kind']> = new Set([
  'redis-old',
  'redis-empty',
  'failover-planned',
  'failover-forced',
  'cluster-master',
]);

/**
 * "A break of less than a second between nodes of a cluster may lose an announcement, and no replica notices": 60 s.
 */
export function announcementBoundMs(facts: Facts, from: number, until: number, boundMs: number): number {
  const broke = facts.faultsBetween(from - 2_000, until).some(({ kind }) => kind === 'cluster-master');
  return facts.history.topology === 'cluster' && broke ? 60_000 : boundMs;
}

function hasRestarted(facts: Facts, replica: number, from: number, until: number): boolean {
  return facts
    .faultsBetween(from, until)
    .some((fault) => (fault.kind === 'kill' || fault.kind === 'terminate') && fault.replica === replica);
}

/**
 * While Redis is down, a replica "refuses sessions only because of the erasures that it has heard of", since its start.
 */
export function hasNotHeardSinceItsStart(
  facts: Facts,
  erasure: Removal,
  { replica, sentAt, endedAt }: Exchange,
): boolean {
  return hasRestarted(facts, replica, erasure.sentAt, sentAt) && couldNotReachRedis(facts, replica, sentAt, endedAt);
}

/**
 * "While newcomers wait, the others get one of four places, and `vendor_busy` at once for the rest." A login waits only
 * while the vendor gets as many as the budget allows.
 */
export function isLoginBudgetUsedUp(facts: Facts, { endedAt }: Exchange): boolean {
  const times = facts.history.logins.map(({ receivedAt }) => receivedAt);
  const windows = times.filter((time) => Math.abs(time - endedAt) <= BUDGET_WINDOW_MS);
  const isFull = (from: number) =>
    times.filter((time) => time >= from && time < from + BUDGET_WINDOW_MS).length >= LOGINS_IN_WINDOW;
  return windows.some(isFull);
}

/** The shortest queue in which every login except that of a newcomer is refused. */
const BUDGET_WINDOW_MS = 250;
const LOGINS_IN_WINDOW = Math.floor((0.8 * LOGINS_PER_SECOND * BUDGET_WINDOW_MS) / 1_000);

/** Whether the removal may have no effect at this time. */
export function removalMayBeLost(facts: Facts, removal: Removal, at: number): boolean {
  return (
    isLostByFailover(facts, removal) ||
    isForgottenByOldRedis(facts, removal, at) ||
    isLostWithAllData(facts, removal, at)
  );
}
