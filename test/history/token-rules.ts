import { announcementBoundMs, clocksDiffer, HEAL_MS, isTokenForgotten, isUnknownToTheBroker } from './excuses.ts';
import { BOUND_MS, type Facts, ON_ITS_WAY_MS } from './facts.ts';
import { type BrokenRule, outcomeOf, placeOf } from './finding.ts';
import { removalAfter } from './removal-rules.ts';

export function* servesLiveTokens(facts: Facts): Generator<BrokenRule> {
  for (const [read, token] of facts.servedTokens()) {
    if (read.sentAt > token.expiresAt && !clocksDiffer(facts, read.sentAt)) {
      yield { ...placeOf(read), since: token.receivedAt, what: 'the token had expired' };
    }
    let newer = token.endedBy;
    while (newer && isUnknownToTheBroker(facts, newer)) newer = newer.endedBy;
    // The rules about removals judge what comes after them.
    if (!newer || read.sentAt <= newer.answeredAt + BOUND_MS || removalAfter(facts, token, () => true)) continue;
    const announcedMs = announcementBoundMs(facts, newer.answeredAt, read.sentAt, BOUND_MS);
    const from = facts.boundFromForAll(newer.answeredAt, announcedMs);
    // A login beside a fault may have run without a lease. Its token may take as long as the healing of Redis.
    const besides = facts.faultsBetween(newer.receivedAt - ON_ITS_WAY_MS, newer.answeredAt);
    const isBesideFault = besides.some(({ kind }) => kind !== 'vendor');
    const boundMs = isBesideFault || from > newer.answeredAt ? Math.max(announcedMs, HEAL_MS) : announcedMs;
    if (read.sentAt <= from + boundMs || isTokenForgotten(facts, newer, read.sentAt)) continue;
    const lateMs = read.sentAt - newer.answeredAt;
    const what = `a later login had ended the token ${lateMs.toFixed(0)} ms before the read`;
    yield { ...placeOf(read), since: token.receivedAt, what };
  }
}

export function* mixesNobodyUp(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (read.status !== 200) continue;
    const token = facts.issued(read.token);
    if (token && token.account === read.account && token.uniqueId === read.uniqueId) continue;
    const what = token
      ? `the token belongs to ${token.account} ${token.uniqueId}`
      : 'the vendor never issued the token';
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

export function* servesEverybodyFinally(facts: Facts): Generator<BrokenRule> {
  for (const read of facts.reads()) {
    if (!read.isFinal) continue;
    const token = facts.served(read);
    const endedAt = token && Math.min(token.expiresAt, token.endedBy?.answeredAt ?? Number.POSITIVE_INFINITY);
    if (endedAt !== undefined && endedAt > read.sentAt - ON_ITS_WAY_MS) continue;
    const what = endedAt === undefined ? outcomeOf(read) : 'the vendor does not take the token';
    yield { ...placeOf(read), since: read.sentAt - 30_000, what };
  }
}
