import { mayHaveLostTheToken, mayLogInTwice } from './excuses.ts';
import { type Facts, type IssuedToken, SETTLE_MS, terminalOf } from './facts.ts';
import type { BrokenRule } from './judge.ts';
import type { Exchange, VendorLogin } from './recording.ts';

const STORM_WINDOW_MS = 10_000;
/** The shares of a token's life between which it is renewed, by default. */
const RENEWED = { from: 0.7, to: 0.9 };
/** Largest pause of a worker, and the time of its claim. */
const WORKER_MS = 6_000;
/** The waits of a login for the store, before it is sent. */
const LOGIN_WAIT_MS = 500;
/** A logout or an erasure without an answer after this time gets none: its replica has died. */
const LONGEST_REQUEST_MS = 2_000;
/** A write that failed is repeated in this time, once the store answers. */
const CONTACT_MS = 2_000;

export function* logsInOnce(facts: Facts): Generator<BrokenRule> {
  for (const logins of facts.terminals()) {
    for (const [index, second] of logins.entries()) {
      const first = logins.slice(0, index).find(({ answeredAt }) => answeredAt > second.receivedAt);
      if (!first || mayLogInTwice(facts, first, second)) continue;
      yield { ...terminalOf(second), at: second.receivedAt, since: first.receivedAt, what: 'two logins at a time' };
    }
  }
}

export function* keepsBudget(facts: Facts): Generator<BrokenRule> {
  const times = facts.recording.logins.map(({ receivedAt }) => receivedAt);
  for (const [index, at] of times.entries()) {
    const first = times.findIndex((time) => time > at - 1_000);
    const count = index - first + 1;
    if (count <= facts.bounds.loginsPerSecond * 1.1 + 2 || !facts.isQuiet(at, SETTLE_MS, 0)) continue;
    yield { at, since: at - 1_000, what: `${count} logins in a second` };
  }
}

export function* causesNoStorm(facts: Facts): Generator<BrokenRule> {
  for (const logins of facts.terminals()) {
    for (const [index, last] of logins.entries()) {
      const since = last.receivedAt - STORM_WINDOW_MS;
      const count = logins.slice(0, index + 1).filter(({ receivedAt }) => receivedAt >= since).length;
      if (count <= 4 || count <= allowedLogins(facts, last, since)) continue;
      const what = `${count} logins in ${STORM_WINDOW_MS / 1_000} s`;
      yield { ...terminalOf(last), at: last.receivedAt, since, what };
      break;
    }
  }
}

/**
 * Each logout, erasure and report may cause a login. So may each fault, on each replica. A failing vendor is asked
 * again.
 */
function allowedLogins(facts: Facts, login: VendorLogin, since: number): number {
  const { receivedAt } = login;
  const acts = facts.actsOf(login).filter((act) => act.sentAt <= receivedAt && act.endedAt >= since - 5_000);
  const faults = facts.faultsBetween(since - SETTLE_MS, receivedAt);
  const vendorFaults = faults.filter(({ kind }) => kind === 'vendor').length;
  return (
    4 + 2 * acts.length + 3 * (faults.length - vendorFaults) + (vendorFaults > 0 ? facts.bounds.loginsOfFailures : 0)
  );
}

/**
 * A terminal logs in because it has no token, or its token is due, was removed or was reported, or because the last
 * login failed. Any other login ends a token that an app uses.
 */
export function* hasReasonToLogIn(facts: Facts): Generator<BrokenRule> {
  for (const logins of facts.terminals()) {
    for (const login of logins) {
      const current = facts.newestToken(login, login.receivedAt);
      if (login.hadAccessId && facts.isQuiet(login.receivedAt)) {
        const what = 'the store has an accessId of the account';
        yield { ...terminalOf(login), at: login.receivedAt, since: login.receivedAt, what };
      }
      if (current === undefined || hasReason(facts, current, login)) continue;
      const ageMs = login.receivedAt - current.answeredAt;
      const what = `a login although the token is only ${ageMs.toFixed(0)} ms old`;
      yield { ...terminalOf(login), at: login.receivedAt, since: current.receivedAt, what };
    }
  }
}

/** @param current the token that the vendor takes when it receives the login */
function hasReason(facts: Facts, current: IssuedToken, login: VendorLogin): boolean {
  const { messageMs, tokenErrorMs, clockErrorMs } = facts.bounds;
  const { receivedAt, expiresAt, storedAt } = current;
  const now = login.receivedAt;
  const knownAt = Math.min(storedAt, ...current.servedBy.values());
  // Messages that were sent before it was known, from the lease to the login.
  if (knownAt === Number.POSITIVE_INFINITY || now <= knownAt + 2 * messageMs) return true;
  if (now >= receivedAt + (expiresAt - receivedAt) * RENEWED.from - tokenErrorMs - clockErrorMs) return true;
  if (isEndedByAct(facts, current, now)) return true;
  if (facts.loginsOf(login).some((other) => facts.isEarlierAttempt(other, login))) return true;
  if (!facts.recording.store) return mayHaveLostTheToken(facts, current, login);
  return hasRival(facts, current, now) || mayNotBeKnown(facts, current, login);
}

/** Whether the token was reported, or removed, as far as requests up to now show it. */
function isEndedByAct(facts: Facts, { account, uniqueId, token, receivedAt }: IssuedToken, now: number): boolean {
  return facts.actsOf({ account, uniqueId }).some((act) => {
    if (act.sentAt > now) return false;
    if (act.kind === 'report' && facts.recording.store) return act.reported === token;
    const { onItsWayMs, messageMs } = facts.bounds;
    return endOf(act, now) >= receivedAt - (onItsWayMs - messageMs);
  });
}

/** Until when an act may have an effect. */
function endOf({ kind, sentAt, endedAt, executedAt }: Exchange, now: number): number {
  const answeredAt = endedAt <= now || kind === 'report' ? endedAt : Math.min(now, sentAt + LONGEST_REQUEST_MS);
  return Math.max(answeredAt, executedAt !== undefined && executedAt <= now ? executedAt : sentAt);
}

/** Whether another login ran at the same time, so that nobody knows which token the vendor takes. */
function hasRival(facts: Facts, login: VendorLogin, now: number): boolean {
  const answeredAt = ({ receivedAt, answeredAt: at, deliveredAt }: VendorLogin): number => {
    if (deliveredAt <= now) return deliveredAt;
    return at <= now ? at : Math.min(now, receivedAt + facts.loginBudgetMs);
  };
  const beganAt = (one: VendorLogin): number => facts.beganAt(one) - LOGIN_WAIT_MS;
  return facts.loginsOf(login).some((other) => {
    if (other === login || other.receivedAt >= now) return false;
    return beganAt(other) <= answeredAt(login) && beganAt(login) <= answeredAt(other);
  });
}

/** Whether the replica that logs in may not know of the token, although the store or another replica has had it. */
function mayNotBeKnown(facts: Facts, current: IssuedToken, login: VendorLogin): boolean {
  const { vendorMode, messageMs } = facts.bounds;
  const { receivedAt, storedAt, servedBy } = current;
  const now = login.receivedAt;
  const stored = facts.stored(login, now)?.token;
  // The vendor takes both tokens, and the one that is stored may be due.
  if (stored && stored !== current && vendorMode === 'overlap') return true;
  // A replica that has not heard of an erasure logs in for a session from before it, and the store refuses the token.
  const isUnheard = facts.removalsOf(login).some(({ executedAt = 0, heardAt }) => {
    const heard = heardAt?.get(current.replica ?? -1) ?? now;
    return executedAt <= now && heard >= receivedAt;
  });
  if (storedAt > now && isUnheard) return true;
  const lostAt = facts.dataLostAt(now);
  if (lostAt > receivedAt - facts.loginBudgetMs && now - lostAt < SETTLE_MS) return true;
  const holders = [...servedBy].filter(([, servedAt]) => servedAt <= now).map(([replica]) => replica);
  if (login.replica !== undefined && holders.includes(login.replica)) return false;
  const isInStore = stored === current && storedAt <= now;
  const isNew = isInStore && now <= storedAt + 2 * messageMs;
  // The others that have served a token which has just been written back got it from the store, after this login's
  // lease.
  const known = isNew ? [current.replica] : [current.replica, ...holders];
  const isHeld = (isInStore && !isNew) || known.some((replica) => facts.hasContact(replica, now, CONTACT_MS));
  return !(isHeld && facts.hasContact(login.replica, now, CONTACT_MS));
}

/** A token that an app has got in time is renewed before it ends. */
export function* renewsInTime(facts: Facts): Generator<BrokenRule> {
  const { clockErrorMs } = facts.bounds;
  for (const login of [...facts.terminals()].flat()) {
    const token = facts.issued(login.token);
    if (!token || token.expiresAt > facts.endedAt) continue;
    const { receivedAt, expiresAt } = token;
    const lifeMs = expiresAt - receivedAt;
    // To a replica whose clock is that far behind, the token is not due before its end.
    if (clockErrorMs > lifeMs * (1 - RENEWED.to)) continue;
    if (Math.min(...token.servedBy.values()) > receivedAt + lifeMs * RENEWED.to - WORKER_MS - clockErrorMs) continue;
    const wellMs = lifeMs + SETTLE_MS;
    if (!facts.isQuiet(expiresAt, wellMs, wellMs)) continue;
    const isRemoved = facts
      .actsOf(token)
      .some((act) => act.kind !== 'report' && act.sentAt <= expiresAt && endOf(act, expiresAt) >= receivedAt);
    const isRenewed = facts.loginsOf(token).some((other) => {
      return other.receivedAt > receivedAt && other.receivedAt <= expiresAt;
    });
    if (isRemoved || isRenewed) continue;
    yield { ...terminalOf(token), at: expiresAt, since: receivedAt, what: 'no login before the end of the token' };
  }
}
