import { isLost } from './excuses.ts';
import type { Facts } from './facts.ts';
import type { BrokenRule } from './judge.ts';
import { isFromBefore } from './removal-rules.ts';
import { endedBefore } from './token-rules.ts';

// These rules judge what the server of the store had, in a run that sees it.

/** Compares what the store has with what the vendor has issued, and what it takes. */
export function* storesLiveTokens(facts: Facts): Generator<BrokenRule> {
  for (const { account, uniqueId, token, at } of facts.recording.store?.looks ?? []) {
    const issued = facts.issued(token);
    if (!issued || at >= issued.expiresAt) continue;
    const isInFlight = facts.loginsOf(issued).some(({ receivedAt, answeredAt }) => receivedAt <= at && answeredAt > at);
    // A token that no app has got is not renewed before an app asks for it.
    const isServed = [...issued.servedBy.values()].some((servedAt) => servedAt <= at);
    const what = isServed && !isInFlight && facts.isQuiet(at) ? endedBefore(facts, issued, at) : undefined;
    if (what !== undefined) yield { account, uniqueId, at, since: issued.receivedAt, what };
  }
}

export function* storesOnlyIssuedTokens(facts: Facts): Generator<BrokenRule> {
  for (const { account, uniqueId, at, kind, token } of facts.recording.store?.writes ?? []) {
    const issued = facts.issued(token);
    if (kind !== 'saved' || (issued?.account === account && issued.uniqueId === uniqueId)) continue;
    yield { account, uniqueId, at, since: at, what: 'the vendor never issued the token for this terminal' };
  }
}

export function* storesNoOlderToken(facts: Facts): Generator<BrokenRule> {
  const { writes = [] } = facts.recording.store ?? {};
  for (const { account, uniqueId, at, kind, token } of writes) {
    const issued = facts.issued(token);
    if (kind !== 'saved' || !issued) continue;
    const before = facts.stored(issued, at, true)?.token;
    if (!before || before === issued || !facts.isSentAfter(before, issued)) continue;
    yield { account, uniqueId, at, since: issued.receivedAt, what: 'the store had a later token' };
  }
}

export function* storesNoRemovedToken(facts: Facts): Generator<BrokenRule> {
  const { looks = [], writes = [] } = facts.recording.store ?? {};
  for (const { account, uniqueId, at, token } of [...writes.filter(({ kind }) => kind === 'saved'), ...looks]) {
    const issued = facts.issued(token);
    if (!issued) continue;
    const removal = facts
      .removalsOf(issued)
      .find((one) => (one.executedAt ?? at) < at && isFromBefore(issued, one) && !isLost(facts, one, at));
    if (!removal) continue;
    yield { account, uniqueId, at, since: issued.receivedAt, what: `it is from before the ${removal.kind}` };
  }
}

/** The account of an accessId may be erased while an operator asks for it. Only a login from before that is too old. */
export function* storesNoRemovedAccessId(facts: Facts): Generator<BrokenRule> {
  for (const { account, uniqueId, at, kind, replica } of facts.recording.store?.writes ?? []) {
    if (kind !== 'accessId') continue;
    const login = facts
      .loginsOf({ account, uniqueId })
      .findLast((one) => one.replica === replica && one.deliveredAt <= at);
    const erasure = facts.erasuresOf({ account }).find((one) => {
      const { executedAt = 0 } = one;
      return executedAt <= at && executedAt >= (login?.receivedAt ?? 0) && !isLost(facts, one, at);
    });
    if (erasure) yield { account, uniqueId, at, since: erasure.sentAt, what: 'its login is from before the erasure' };
  }
}

export function* keepsDueTimes(facts: Facts): Generator<BrokenRule> {
  for (const { at, tokens, dueTimes } of facts.recording.store?.counts ?? []) {
    if (tokens !== dueTimes) yield { at, since: at, what: `${tokens} tokens, ${dueTimes} due times` };
  }
}

export function* leavesNothing(facts: Facts): Generator<BrokenRule> {
  for (const { at, what } of facts.recording.store?.remains ?? []) yield { at, since: at, what };
}
