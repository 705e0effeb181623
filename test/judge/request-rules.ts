import { ERRORS } from '../../src/token/errors.ts';
import { isLoginBudgetUsedUp, isReportTooSoon } from './excuses.ts';
import { BOUND_MS, type Facts, HIDDEN_MS } from './facts.ts';
import { type BrokenRule, outcomeOf, placeOf } from './judge.ts';
import type { Exchange, Fault } from './recording.ts';
import { isEndedSession } from './removal-rules.ts';

/** Faults of a replica that end or delay its answers. */
const INTERRUPTS: ReadonlySet<Fault['kind']> = new Set(['kill', 'terminate', 'replaced', 'freeze', 'clock']);
/** A read waits no longer for the store, and so may find its token past the margin. */
const LONGEST_LOOK_UP_MS = 700;

export function* servesWhileQuiet(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (read.endedAt === Number.POSITIVE_INFINITY) continue;
    if (!facts.isQuiet(read.endedAt)) {
      if (read.code === 'session_forbidden' && !isEndedByRemoval(facts, read, BOUND_MS))
        yield { ...placeOf(read), since: read.sentAt - 15_000, what: 'session_forbidden without a logout' };
      continue;
    }
    const since = read.sentAt - 5_000;
    const durationMs = read.endedAt - read.sentAt;
    if (durationMs > facts.bounds.longestQuietReadMs)
      yield { ...placeOf(read), since, what: `it took ${durationMs.toFixed(0)} ms` };
    if (read.status === 200 || isExcused(facts, read, facts.bounds.onItsWayMs)) continue;
    if (read.code === 'vendor_busy' && isLoginBudgetUsedUp(facts, read)) continue;
    yield { ...placeOf(read), since, what: outcomeOf(read) };
  }
  for (const request of facts.exchanges) {
    if (request.kind !== 'accessId' || request.status === 200 || request.endedAt === Number.POSITIVE_INFINITY) continue;
    if (facts.isQuiet(request.endedAt) && !isErased(facts, request))
      yield { ...placeOf(request), since: request.sentAt, what: outcomeOf(request) };
  }
}

function isExcused(facts: Facts, read: Exchange, boundMs: number): boolean {
  if (read.code === 'session_invalid') return isEndedSession(facts, read);
  return isReportTooSoon(facts, read) || isEndedByRemoval(facts, read, boundMs);
}

/**
 * A logout ends each login of the terminal that has begun, and the reads that wait for it.
 * @param boundMs how long after the logout a replica may not have heard of it
 */
function isEndedByRemoval(facts: Facts, read: Exchange, boundMs: number): boolean {
  if (read.code !== 'session_forbidden') return false;
  return facts.actsOf(read).some((removal) => {
    if (removal.kind === 'report' || removal.sentAt > read.endedAt) return false;
    const heardAt = removal.heardAt?.get(read.replica);
    return (heardAt ?? facts.lastEffectOf(removal) + boundMs) >= read.sentAt;
  });
}

/** Also while something is broken: a read gets the token that its replica has served, until its end. */
export function* servesKnownTokens(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (read.status === 200 || read.status === 0 || read.kind === 'report' || isExcused(facts, read, BOUND_MS))
      continue;
    if (!knowsValidToken(facts, read)) continue;
    yield { ...placeOf(read), since: read.sentAt - 5_000, what: outcomeOf(read) };
  }
}

/** Whether the replica has served a token that is valid still, and that nothing has ended or replaced. */
function knowsValidToken(facts: Facts, { account, uniqueId, replica, sentAt, endedAt }: Exchange): boolean {
  const place = { account, uniqueId };
  const served = facts
    .readsOf(place)
    .findLast((one) => one.replica === replica && one.endedAt < endedAt && facts.served(one));
  const token = served && facts.served(served);
  if (!token) return false;
  const { receivedAt, endedBy } = token;
  const servedAt = token.servedBy.get(replica) ?? endedAt;
  if (facts.hasRestarted(replica, servedAt, endedAt) || facts.dataLostAt(endedAt) > receivedAt) return false;
  const isOfToken = ({ kind, reported }: Exchange) => kind !== 'report' || reported === token.token;
  const isActedOn = facts
    .actsOf(place)
    .some((act) => isOfToken(act) && act.sentAt <= endedAt && facts.lastEffectOf(act) > receivedAt);
  const isEnded = facts.bounds.vendorMode === 'replace' && endedBy && endedBy.answeredAt <= endedAt;
  const stored = facts.stored(token, endedAt);
  const isReplaced = stored !== undefined && stored.token !== token && stored.write.at > receivedAt;
  if (isActedOn || isReplaced || isEnded) return false;
  if (facts.faultsBetween(receivedAt, endedAt).some(({ kind }) => kind === 'clock')) return false;
  const until = facts.servableUntil(token) - 2 * facts.bounds.tokenErrorMs;
  // The read may log in since before the replica knew the token.
  if (servedAt > sentAt || facts.stoodStill(replica, sentAt, endedAt)) return endedAt < until;
  return sentAt < until - LONGEST_LOOK_UP_MS;
}

export function* endsRequests(facts: Facts): Generator<BrokenRule> {
  for (const request of facts.exchanges) {
    if (!['read', 'report', 'accessId'].includes(request.kind)) continue;
    const durationMs = request.endedAt - request.sentAt;
    const isLost = request.status === 0;
    if (!isLost && durationMs <= facts.bounds.longestReadMs) continue;
    if (facts.happened(INTERRUPTS, request.replica, request.sentAt, request.endedAt)) continue;
    const what = isLost ? 'the connection gave no answer' : `it took ${durationMs.toFixed(0)} ms`;
    yield { ...placeOf(request), since: request.sentAt - 5_000, what };
  }
}

export function* sendsKnownCodes(facts: Facts): Generator<BrokenRule> {
  for (const exchange of facts.exchanges) {
    const { status, code = '', kind } = exchange;
    if (status < 400) continue;
    const isKnown =
      Object.hasOwn(ERRORS, code) &&
      code !== 'internal' &&
      (code !== 'not_found' || kind === 'account' || kind === 'accessId');
    if (!isKnown) yield { ...placeOf(exchange), since: exchange.sentAt - 5_000, what: outcomeOf(exchange) };
  }
}

export function* findsAccessIds(facts: Facts): Generator<BrokenRule> {
  for (const request of facts.exchanges) {
    if (request.kind !== 'accessId' || request.isFound !== false) continue;
    if (isErased(facts, request) || facts.dataLostAt(request.endedAt) >= request.sentAt) continue;
    yield { ...placeOf(request), since: request.sentAt, what: 'the store does not find it' };
  }
}

/** Whether the account was erased during the request, or so late before it that the replica may not know. */
function isErased(facts: Facts, { account, replica, sentAt, endedAt }: Exchange): boolean {
  return facts.actsOf({ account }).some((erasure) => {
    if (erasure.kind !== 'erasure' || erasure.sentAt > endedAt) return false;
    const executedAt = erasure.executedAt ?? erasure.sentAt;
    const start = facts.boundFrom(replica, executedAt, BOUND_MS);
    return executedAt >= sentAt || sentAt <= Math.min(start + BOUND_MS, executedAt + HIDDEN_MS);
  });
}
