import { hadWrongClock, isTokenForgotten, isUnknownToTheBroker } from './excuses.ts';
import { BOUND_MS, type Facts, type IssuedToken } from './facts.ts';
import { type BrokenRule, outcomeOf, placeOf } from './judge.ts';
import type { Exchange } from './recording.ts';
import { isFromBefore } from './removal-rules.ts';

/** A replica with the former token in memory has the newer one so long after it has heard of it, if all is well. */
const LEARNED_MS = 2_000;

export function* servesLiveTokens(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const what = endedBefore(facts, token, read.sentAt);
    if (what !== undefined) yield { ...placeOf(read), since: token.receivedAt, what };
  }
}

/** Whether the fleet had to know at this time that a later login has ended the token. @returns what is wrong */
export function endedBefore(facts: Facts, token: IssuedToken, at: number): string | undefined {
  if (facts.bounds.vendorMode !== 'replace') return undefined;
  let newer = token.endedBy;
  while (newer && isUnknownToTheBroker(facts, newer)) newer = newer.endedBy;
  if (!newer || at <= newer.deliveredAt + BOUND_MS) return undefined;
  // The rules about removals judge what comes after them, unless all is quiet.
  if (!facts.isQuiet(at) && facts.removalsOf(token).some((removal) => isFromBefore(token, removal))) return undefined;
  const { deliveredAt, receivedAt } = newer;
  const announcedMs = facts.announcementBoundMs(deliveredAt, at);
  const from = facts.boundFromForAll(deliveredAt, announcedMs);
  // A login beside a fault may have run without a lease. Its token may take as long as the healing of Redis.
  const isBesideFault = facts.isDisturbed(receivedAt - facts.bounds.onItsWayMs, deliveredAt);
  const boundMs = isBesideFault || from > deliveredAt ? Math.max(announcedMs, facts.bounds.tokensHealMs) : announcedMs;
  if (at <= from + boundMs || isTokenForgotten(facts, newer, at)) return undefined;
  return `a later login had ended the token ${(at - deliveredAt).toFixed(0)} ms before`;
}

export function* servesNoExpiredTokens(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const at = facts.bounds.answersArriveAtOnce ? read.endedAt : read.sentAt;
    const lateMs = at - facts.servableUntil(token);
    if (lateMs <= 0 || hadWrongClock(facts, token, at)) continue;
    yield { ...placeOf(read), since: token.receivedAt, what: `the token was ${lateMs.toFixed(0)} ms past its margin` };
  }
}

export function* servesTheStoredToken(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    const stored = facts.stored(token, read.endedAt);
    if (!stored || !facts.isSentAfter(stored.token, token) || !hadToLearn(facts, read, stored.token, stored.write.at))
      continue;
    const what = `a later token was stored ${(read.sentAt - stored.write.at).toFixed(0)} ms before`;
    yield { ...placeOf(read), since: token.receivedAt, what };
  }
}

function hadToLearn(facts: Facts, read: Exchange, stored: IssuedToken, storedAt: number): boolean {
  const { replica, sentAt } = read;
  const hasLearned = (facts.recording.store?.writes ?? []).some(({ token, heardAt }) => {
    const at = token === stored.token ? heardAt.get(replica) : undefined;
    if (at === undefined || sentAt <= at + LEARNED_MS || facts.stoodStill(replica, at, at + LEARNED_MS)) return false;
    return facts.hasContact(replica, at + LEARNED_MS, LEARNED_MS);
  });
  // From then on also while something is broken.
  return hasLearned || facts.hadToKnow(read, storedAt);
}

export function* mixesNobodyUp(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (read.status !== 200 || facts.served(read)) continue;
    const token = facts.issued(read.token);
    const what = token ? `it belongs to ${token.account} ${token.uniqueId}` : 'the vendor never issued the token';
    yield { ...placeOf(read), since: read.sentAt, what };
  }
}

export function* replacesRefusedTokens(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (read.kind !== 'report') continue;
    if (read.status !== 304 && (read.status !== 200 || read.token !== read.reported)) continue;
    yield { ...placeOf(read), since: read.sentAt - 10_000, what: 'the report was answered with the refused token' };
  }
}

/** In virtual time, messages are lost until the end: then another replica must serve the terminal. */
export function* servesEverybodyFinally(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    const isCutOff = facts.isCutOff(read.replica, read.sentAt, read.endedAt);
    if (!read.isFinal || isLiveAtLast(facts, read)) continue;
    if (isCutOff && facts.readsOf(read).some((other) => other.isFinal && isLiveAtLast(facts, other))) continue;
    const what = facts.served(read) ? 'the vendor does not take the token' : outcomeOf(read);
    yield { ...placeOf(read), since: read.sentAt - 30_000, what };
  }
}

function isLiveAtLast(facts: Facts, read: Exchange): boolean {
  const { expiresAt = 0, endedBy } = facts.served(read) ?? {};
  const isReplaced = facts.bounds.vendorMode === 'replace' && endedBy;
  const { onItsWayMs, clockErrorMs } = facts.bounds;
  const endedAt = Math.min(expiresAt + clockErrorMs, isReplaced ? endedBy.answeredAt : Number.POSITIVE_INFINITY);
  return endedAt > read.sentAt - onItsWayMs;
}
