import { Facts } from './facts.ts';
import { causesNoStorm, hasReasonToLogIn, keepsBudget, logsInOnce, renewsInTime } from './login-rules.ts';
import type { Exchange, Recording } from './recording.ts';
import {
  acceptsNewSessions,
  forgetsErasedAccounts,
  keepsAccounts,
  logsInForNobody,
  obeysKickOuts,
  refusesOldSessions,
  servesNoRemovedToken,
} from './removal-rules.ts';
import { endsRequests, findsAccessIds, sendsKnownCodes, servesKnownTokens, servesWhileQuiet } from './request-rules.ts';
import {
  keepsDueTimes,
  leavesNothing,
  storesLiveTokens,
  storesNoOlderToken,
  storesNoRemovedAccessId,
  storesNoRemovedToken,
  storesOnlyIssuedTokens,
} from './store-rules.ts';
import {
  mixesNobodyUp,
  replacesRefusedTokens,
  servesEverybodyFinally,
  servesLiveTokens,
  servesNoExpiredTokens,
  servesTheStoredToken,
} from './token-rules.ts';

/**
 * The rules. They know only when a request was sent and answered, when the vendor received and answered a login, what
 * the vendor takes, and, where the run sees it, which tokens the store had: nothing that the code under test assigns.
 */
const RULES = {
  'no token from before a logout or an erasure is served after it': servesNoRemovedToken,
  'a login that is in flight at a logout or an erasure goes nowhere': logsInForNobody,
  'a session from before an erasure stays refused': refusesOldSessions,
  'a session that a kick-out has ended gets no token': obeysKickOuts,
  'an account that has logged in stays known until its erasure': keepsAccounts,
  'an erased account comes back only for a newer session': forgetsErasedAccounts,
  'no session is refused that nothing has ended, and no write has an effect after its error': acceptsNewSessions,
  'each served token is one that the vendor takes': servesLiveTokens,
  'no token is served past its margin': servesNoExpiredTokens,
  'no token is served after a later one was stored': servesTheStoredToken,
  'each stored token is one that the vendor takes': storesLiveTokens,
  'only tokens that the vendor issued are stored': storesOnlyIssuedTokens,
  'no write brings an older token back': storesNoOlderToken,
  'no token from before a logout or an erasure is in the store after it': storesNoRemovedToken,
  'no accessId from before an erasure is stored after it': storesNoRemovedAccessId,
  'one login per terminal at a time': logsInOnce,
  'each login has a reason': hasReasonToLogIn,
  'no storm of logins': causesNoStorm,
  'the vendor gets no more logins than the budget': keepsBudget,
  'a token in use is renewed before it ends': renewsInTime,
  'no request fails while all is quiet': servesWhileQuiet,
  'no read fails while its replica knows a valid token': servesKnownTokens,
  'every request ends': endsRequests,
  'only codes of the contract': sendsKnownCodes,
  'an accessId that was handed out can be looked up': findsAccessIds,
  'a token belongs to the terminal that asked': mixesNobodyUp,
  'a refused token is not returned to its reporter': replacesRefusedTokens,
  'in the end every replica serves every terminal': servesEverybodyFinally,
  'each token has a due time, and each due time a token': keepsDueTimes,
  'a replica that was stopped ends, and leaves no timer, no waiter and no lease': leavesNothing,
} satisfies Record<string, (facts: Facts) => Iterable<BrokenRule>>;

export type RuleName = keyof typeof RULES;

/** Where a recording breaks a rule. */
export interface BrokenRule {
  readonly what: string;
  readonly at: number;
  /** When the events began that show it. */
  readonly since: number;
  /** Missing: it concerns no single account, or no single terminal. */
  readonly account?: string;
  readonly uniqueId?: string | undefined;
}

export interface Finding extends BrokenRule {
  readonly rule: RuleName;
}

/** Judges a complete recording. @returns what breaks the rules, in the order of the rules, then of time */
export function judge(recording: Recording): Finding[] {
  const facts = new Facts(recording);
  return Object.entries(RULES).flatMap(([rule, check]) =>
    [...check(facts)].map((broken) => ({ rule: rule as RuleName, ...broken })),
  );
}

export function placeOf({ account, uniqueId, sentAt, endedAt }: Exchange): Omit<BrokenRule, 'what' | 'since'> {
  return { account, uniqueId, at: endedAt === Number.POSITIVE_INFINITY ? sentAt : endedAt };
}

export function outcomeOf({ status, code }: Exchange): string {
  return status === 0 ? 'the connection gave no answer' : `${status} ${code ?? ''}`;
}
