import { announcementBoundMs, couldNotReachRedis, hasNotHeardSinceItsStart, removalMayBeLost } from './excuses.ts';
import { BOUND_MS, type Facts, ON_ITS_WAY_MS, type Removal } from './facts.ts';
import { type BrokenRule, placeOf } from './finding.ts';
import type { Exchange, VendorLogin } from './history.ts';

/** A write that was answered with an error has no effect later than this. */
const LATE_WRITE_MS = 1_000;
/** A session says its time of issue to the second. */
const SECOND_MS = 1_000;

export function* servesNoRemovedToken(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const removal = removalAfter(facts, token, (removed) => isOverdue(facts, removed, read));
    if (!removal) continue;
    const lateMs = read.sentAt - removal.endedAt;
    yield {
      ...placeOf(read),
      since: token.receivedAt,
      what: `${removal.kind} ${lateMs.toFixed(0)} ms before the read`,
    };
  }
}

export function* logsInForNobody(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const removal = removalAfter(
      facts,
      token,
      (removed) =>
        token.answeredAt > removed.endedAt + ON_ITS_WAY_MS &&
        !couldNotReachRedis(facts, read.replica, removed.endedAt, read.endedAt) &&
        !removalMayBeLost(facts, removed, read.endedAt),
    );
    if (!removal) continue;
    const lateMs = token.answeredAt - removal.endedAt;
    const what = `the vendor answered the login ${lateMs.toFixed(0)} ms after the ${removal.kind}, and the token was served`;
    yield { ...placeOf(read), since: token.receivedAt, what };
  }
}

export function* refusesOldSessions(facts: Facts): Generator<BrokenRule> {
  for (const [read] of facts.servedTokens()) {
    const { sessionIssuedAt = 0 } = read;
    const erasure = facts
      .removalsOf(read)
      .find(
        (removal) =>
          removal.kind === 'erasure' &&
          removal.sentAt > sessionIssuedAt + SECOND_MS &&
          isOverdue(facts, removal, read) &&
          !hasNotHeardSinceItsStart(facts, removal, read),
      );
    if (erasure)
      yield { ...placeOf(read), since: erasure.sentAt, what: 'a session from before the erasure got a token' };
  }
}

export function* forgetsErasedAccounts(facts: Facts): Generator<BrokenRule> {
  for (const found of facts.exchanges) {
    if (found.kind !== 'account' || found.status !== 200) continue;
    const erasure = facts.removalsOf(found).findLast(({ endedAt }) => endedAt + ON_ITS_WAY_MS < found.sentAt);
    if (!erasure || removalMayBeLost(facts, erasure, found.sentAt)) continue;
    const logins = facts.history.logins.filter(({ account }) => account === found.account);
    const isBack = logins.some(({ receivedAt }) => receivedAt >= erasure.sentAt && receivedAt < found.endedAt);
    if (!isBack)
      yield { ...placeOf(found), since: erasure.sentAt - 5_000, what: 'the account exists without a new login' };
  }
}

export function* acceptsNewSessions(facts: Facts): Generator<BrokenRule> {
  for (const refused of facts.exchanges) {
    if (refused.code !== 'session_invalid') continue;
    if (isFromBeforeErasure(facts, refused)) continue;
    const since = refused.sentAt - 10_000;
    yield { ...placeOf(refused), since, what: 'the session is newer than every erasure of the account' };
  }
}

/** Whether the replica of the read had to know of the removal. */
function isOverdue(facts: Facts, removal: Removal, read: Exchange): boolean {
  if (read.sentAt <= removal.endedAt + BOUND_MS) return false;
  const boundMs = announcementBoundMs(facts, removal.sentAt, read.sentAt, BOUND_MS);
  const from = facts.boundFrom(read.replica, removal.endedAt, boundMs);
  return read.sentAt > from + boundMs && !removalMayBeLost(facts, removal, read.sentAt);
}

/** Whether an erasure that may have taken effect is later than the session's time of issue. */
export function isFromBeforeErasure(facts: Facts, { account, sessionIssuedAt = 0, endedAt }: Exchange): boolean {
  return facts.actsOf({ account }).some((erasure) => {
    if (erasure.kind !== 'erasure' || erasure.sentAt > endedAt) return false;
    return lastEffectOf(erasure) >= sessionIssuedAt;
  });
}

export function lastEffectOf({ status, endedAt }: Exchange): number {
  return status === 204 ? endedAt : endedAt + LATE_WRITE_MS;
}

/** The first of these removals that should have ended a token of this login. */
export function removalAfter(
  facts: Facts,
  login: VendorLogin,
  matters: (removal: Removal) => boolean,
): Removal | undefined {
  return facts.removalsOf(login).find((removal) => removal.sentAt > login.receivedAt && matters(removal));
}
