import { isLost } from './excuses.ts';
import { type Facts, HEARD_MS, HIDDEN_MS, type IssuedToken, SETTLE_MS } from './facts.ts';
import { type BrokenRule, placeOf } from './judge.ts';
import type { Exchange } from './recording.ts';

export function* servesNoRemovedToken(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const removal = facts
      .removalsOf(token)
      .find((one) => isFromBefore(token, one) && !wasInFlight(token, one) && hadToObey(facts, read, one));
    if (!removal) continue;
    const what = `${removal.kind} ${(read.sentAt - removal.endedAt).toFixed(0)} ms before the read`;
    yield { ...placeOf(read), since: token.receivedAt, what };
  }
}

/** The token of a login that was at the vendor goes nowhere: not even to the read that started it. */
export function* logsInForNobody(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const removal = facts
      .removalsOf(token)
      .find((one) => isFromBefore(token, one) && wasInFlight(token, one) && endedTheLogin(facts, read, one));
    if (!removal) continue;
    const lateMs = token.deliveredAt - effectOf(removal);
    const what = `the vendor answered the login ${lateMs.toFixed(0)} ms after the ${removal.kind}, and the token was served`;
    yield { ...placeOf(read), since: token.receivedAt, what };
  }
}

/** Whether the vendor received the login before the logout or the erasure. */
export function isFromBefore(token: IssuedToken, { executedAt, sentAt }: Exchange): boolean {
  return token.receivedAt < (executedAt ?? sentAt);
}

function effectOf({ executedAt, endedAt }: Exchange): number {
  return executedAt ?? endedAt;
}

function wasInFlight(token: IssuedToken, removal: Exchange): boolean {
  return token.deliveredAt > effectOf(removal);
}

/** Whether the replica heard of the logout or the erasure, and so must have ended the login that was in flight. */
function endedTheLogin(facts: Facts, read: Exchange, removal: Exchange): boolean {
  const { onItsWayMs, breakerMs } = facts.bounds;
  const heardAt = removal.heardAt ? removal.heardAt.get(read.replica) : removal.endedAt;
  if (heardAt === undefined || facts.isCutOff(read.replica, heardAt - breakerMs, read.endedAt))
    return hadToObey(facts, read, removal);
  return read.endedAt > heardAt + onItsWayMs && !isLost(facts, removal, read.sentAt, read.endedAt);
}

/** Whether the logout or the erasure succeeded before the read, and the replica of the read had to know. */
function hadToObey(facts: Facts, read: Exchange, removal: Exchange): boolean {
  if (removal.status !== 204 || read.sentAt < removal.endedAt) return false;
  if (isLost(facts, removal, read.sentAt, read.endedAt)) return false;
  const heardAt = removal.heardAt?.get(read.replica);
  if (heardAt !== undefined) return read.endedAt > heardAt + facts.bounds.onItsWayMs;
  return facts.hadToKnow(read, removal.endedAt, removal.sentAt);
}

export function* refusesOldSessions(facts: Facts): Generator<BrokenRule> {
  for (const [read] of facts.servedTokens()) {
    const { sessionIssuedAt = 0 } = read;
    const erasure = facts.erasuresOf(read).find((one) => {
      const isOld = (one.executedAt ?? one.sentAt) >= sessionIssuedAt + facts.bounds.sessionStepMs;
      return isOld && hadToObey(facts, read, one);
    });
    if (!erasure) continue;
    yield { ...placeOf(read), since: erasure.sentAt, what: 'a session from before the erasure got a token' };
  }
}

/** A session that the customer cloud has ended, or that is from before the logout of its account. */
export function* obeysKickOuts(facts: Facts): Generator<BrokenRule> {
  for (const [read] of facts.servedTokens()) {
    const kickOut = facts.removalsOf(read).find((one) => isEndedBy(facts, read, one) && hadToAsk(facts, read, one));
    if (!kickOut) continue;
    const what = `its session had been ended, and the ${kickOut.kind} was ${(read.sentAt - kickOut.endedAt).toFixed(0)} ms before`;
    yield { ...placeOf(read), since: kickOut.sentAt, what };
  }
}

function isEndedBy(facts: Facts, read: Exchange, act: Exchange): boolean {
  const { session = '', sessionIssuedAt = 0 } = read;
  if (act.endedSessions?.includes(session)) return true;
  const isOld = (act.executedAt ?? act.sentAt) >= sessionIssuedAt + facts.bounds.sessionStepMs;
  return act.kind === 'accountLogout' && isOld && !isLost(facts, act, read.sentAt, read.endedAt);
}

/** Whether the replica had to ask about the session again. Without contact, it believes it for a while. */
function hadToAsk(facts: Facts, read: Exchange, { status, sentAt, endedAt, heardAt }: Exchange): boolean {
  if (status !== 204 || read.sentAt < endedAt) return false;
  const at = heardAt?.get(read.replica);
  if (at !== undefined) return read.sentAt > at;
  const { losesAnnouncements, onItsWayMs, breakerMs } = facts.bounds;
  const wasCutOff = facts.isCutOff(read.replica, sentAt - HEARD_MS, endedAt + onItsWayMs);
  const isHeard = !wasCutOff && !facts.hasRestarted(read.replica, sentAt, read.endedAt);
  if (losesAnnouncements === 'never' && isHeard) return read.sentAt > endedAt + onItsWayMs;
  const hasContact = !facts.isCutOff(read.replica, read.sentAt - breakerMs, read.endedAt);
  return (hasContact || read.sentAt > endedAt + HIDDEN_MS) && facts.hadToKnow(read, endedAt, sentAt);
}

/** Only its erasure deletes the accessId and the country of an account. */
export function* keepsAccounts(facts: Facts): Generator<BrokenRule> {
  for (const missed of facts.exchanges) {
    if (missed.kind !== 'account' || missed.status !== 404) continue;
    const { account, sentAt, endedAt } = missed;
    const isOfAccount = ([read]: [Exchange, IssuedToken]) => read.account === account && read.endedAt < sentAt;
    const [, token] = [...facts.servedTokens()].findLast(isOfAccount) ?? [];
    if (!token || facts.isDisturbed(token.receivedAt - SETTLE_MS, endedAt)) continue;
    const isErased = facts.actsOf({ account }).some((act) => {
      return act.kind === 'erasure' && act.sentAt <= endedAt && facts.lastEffectOf(act) >= token.receivedAt;
    });
    if (!isErased)
      yield { ...placeOf(missed), since: token.receivedAt, what: 'the account that has logged in is gone' };
  }
}

export function* forgetsErasedAccounts(facts: Facts): Generator<BrokenRule> {
  for (const found of facts.exchanges) {
    if (found.kind !== 'account' || found.status !== 200) continue;
    const erasure = facts.erasuresOf(found).findLast(({ status, endedAt }) => {
      return status === 204 && endedAt + facts.bounds.onItsWayMs < found.sentAt;
    });
    if (!erasure || isLost(facts, erasure, found.sentAt)) continue;
    const logins = facts.recording.logins.filter(({ account }) => account === found.account);
    if (logins.some(({ receivedAt }) => receivedAt >= erasure.sentAt && receivedAt < found.endedAt)) continue;
    yield { ...placeOf(found), since: erasure.sentAt - 5_000, what: 'the account exists without a new login' };
  }
  for (const { account, uniqueId, at, kind } of facts.recording.store?.writes ?? []) {
    if (kind !== 'saved') continue;
    const erasures = facts.erasuresOf({ account }).filter(({ executedAt = 0 }) => executedAt <= at);
    const erasedAt = Math.max(
      ...erasures.filter((one) => !isLost(facts, one, at)).map(({ executedAt = 0 }) => executedAt),
    );
    const isAskedFor = facts.recording.exchanges.some((one) => {
      if (one.account !== account || one.sentAt > at) return false;
      return (one.kind === 'accessId' ? one.sentAt : (one.sessionIssuedAt ?? 0)) > erasedAt;
    });
    if (isAskedFor) continue;
    yield { account, uniqueId, at, since: erasedAt, what: 'the account is stored, and no session is newer' };
  }
}

export function* acceptsNewSessions(facts: Facts): Generator<BrokenRule> {
  for (const refused of facts.exchanges) {
    if (refused.code !== 'session_invalid' || isEndedSession(facts, refused)) continue;
    const since = refused.sentAt - 10_000;
    yield { ...placeOf(refused), since, what: 'the session is newer than every end of the sessions of the account' };
  }
  for (const removal of facts.exchanges) {
    const { executedAt, status, endedAt } = removal;
    if (executedAt === undefined || status === 204 || executedAt <= endedAt + facts.bounds.lateWriteMs) continue;
    const what = `the ${removal.kind} took effect ${(executedAt - endedAt).toFixed(0)} ms after its error`;
    yield { ...placeOf(removal), at: executedAt, since: removal.sentAt, what };
  }
}

/**
 * Whether the customer cloud has ended the session, or an erasure or a logout of the account that may have taken effect
 * is later than the session's time of issue.
 */
export function isEndedSession(facts: Facts, read: Exchange): boolean {
  const { session = '', sessionIssuedAt = 0, endedAt } = read;
  const seemsSince = sessionIssuedAt - facts.bounds.sameTimeMs;
  return facts.actsOf(read).some((act) => {
    if (act.kind === 'report' || act.sentAt > endedAt) return false;
    if (act.endedSessions?.includes(session)) return true;
    return act.kind !== 'logout' && facts.lastEffectOf(act) >= seemsSince;
  });
}
