import { Facts } from './facts.ts';
import type { BrokenRule } from './finding.ts';
import type { History } from './history.ts';
import { causesNoStorm, hasReasonToLogIn, logsInOnce } from './login-rules.ts';
import {
  acceptsNewSessions,
  forgetsErasedAccounts,
  logsInForNobody,
  refusesOldSessions,
  servesNoRemovedToken,
} from './removal-rules.ts';
import { endsReads, sendsKnownCodes, servesWhileQuiet } from './request-rules.ts';
import { mixesNobodyUp, replacesRefusedTokens, servesEverybodyFinally, servesLiveTokens } from './token-rules.ts';

/**
 * The rules. They know only when a request was sent and answered, when the vendor received and answered a login, and
 * what the vendor takes: nothing that the code under test assigns.
 */
const RULES = {
  'no token from before a logout or an erasure is served after it': servesNoRemovedToken,
  'a login that is in flight at a logout or an erasure goes nowhere': logsInForNobody,
  'a session from before an erasure stays refused': refusesOldSessions,
  'an erased account does not exist': forgetsErasedAccounts,
  'an erasure refuses no session that was issued after it, and no write has an effect after its error':
    acceptsNewSessions,
  'each served token is one that the vendor takes': servesLiveTokens,
  'one login per terminal at a time': logsInOnce,
  'each login has a reason': hasReasonToLogIn,
  'no storm of logins': causesNoStorm,
  'no read fails while all is quiet': servesWhileQuiet,
  'every read ends': endsReads,
  'only codes of the contract': sendsKnownCodes,
  'a token belongs to the terminal that asked': mixesNobodyUp,
  'a refused token is not returned to its reporter': replacesRefusedTokens,
  'in the end every replica serves every terminal': servesEverybodyFinally,
} satisfies Record<string, (facts: Facts) => Iterable<BrokenRule>>;

export type RuleName = keyof typeof RULES;

export interface Finding extends BrokenRule {
  readonly rule: RuleName;
}

/** Judges a history that is complete. @returns what breaks the rules, in the order of the rules, then of time */
export function judge(history: History): Finding[] {
  const facts = new Facts(history);
  return Object.entries(RULES).flatMap(([rule, check]) =>
    [...check(facts)].map((broken) => ({ rule: rule as RuleName, ...broken })),
  );
}
