import { mayHaveLostTheToken, mayLogInTwice } from './excuses.ts';
import { type Facts, ON_ITS_WAY_MS, SETTLE_MS } from './facts.ts';
import { type BrokenRule, terminalOf } from './finding.ts';
import type { Exchange, Terminal, VendorLogin } from './history.ts';

const STORM_WINDOW_MS = 10_000;

export function* logsInOnce(facts: Facts): Generator<BrokenRule> {
  for (const logins of facts.terminals()) {
    const inOrder = logins.toSorted((one, other) => one.receivedAt - other.receivedAt);
    for (const [index, second] of inOrder.entries()) {
      const first = inOrder[index - 1];
      if (!first || first.answeredAt <= second.receivedAt) continue;
      if (mayLogInTwice(facts, first.receivedAt, second.receivedAt)) continue;
      yield { ...terminalOf(second), at: second.receivedAt, since: first.receivedAt, what: 'two logins at a time' };
    }
  }
}

export function* causesNoStorm(facts: Facts): Generator<BrokenRule> {
  for (const logins of facts.terminals()) {
    const inOrder = logins.toSorted((one, other) => one.receivedAt - other.receivedAt);
    for (const [index, last] of inOrder.entries()) {
      const since = last.receivedAt - STORM_WINDOW_MS;
      const count = inOrder.slice(0, index + 1).filter(({ receivedAt }) => receivedAt >= since).length;
      if (count <= allowedLogins(facts, last, since)) continue;
      yield {
        ...terminalOf(last),
        at: last.receivedAt,
        since,
        what: `${count} logins in ${STORM_WINDOW_MS / 1_000} s`,
      };
      break;
    }
  }
}

/**
 * Each logout, erasure and report may cause a login. So may each fault, on each replica. A failing vendor is asked
 * again.
 */
function allowedLogins(facts: Facts, { account, uniqueId, receivedAt }: VendorLogin, since: number): number {
  const acts = actsOn(facts, { account, uniqueId }).filter(
    (act) => act.sentAt <= receivedAt && act.endedAt >= since - 5_000,
  );
  const faults = facts.faultsBetween(since - SETTLE_MS, receivedAt);
  const vendorFaults = faults.filter(({ kind }) => kind === 'vendor').length;
  return 4 + 2 * acts.length + 3 * (faults.length - vendorFaults) + (vendorFaults > 0 ? 20 : 0);
}

/**
 * A terminal logs in because it has no token, or its token is due, was removed or was reported, or because the last
 * login failed. Any other login ends a token that an app uses.
 */
export function* hasReasonToLogIn(facts: Facts): Generator<BrokenRule> {
  for (const logins of facts.terminals()) {
    const inOrder = logins.toSorted((one, other) => one.receivedAt - other.receivedAt);
    for (const [index, login] of inOrder.entries()) {
      const former = inOrder[index - 1];
      if (former === undefined || hasReason(facts, former, login)) continue;
      const ageMs = login.receivedAt - former.answeredAt;
      const what = `a login although the token is only ${ageMs.toFixed(0)} ms old`;
      yield { ...terminalOf(login), at: login.receivedAt, since: former.receivedAt, what };
    }
  }
}

function hasReason(facts: Facts, former: VendorLogin, login: VendorLogin): boolean {
  const { token, expiresAt = 0, isDelivered, answeredAt, receivedAt } = former;
  if (token === undefined || !isDelivered || answeredAt > login.receivedAt) return true;
  if (login.receivedAt > answeredAt + EARLIEST_SHARE * (expiresAt - answeredAt)) return true;
  const isRemovedOrReported = actsOn(facts, login).some(
    ({ sentAt, endedAt }) => sentAt <= login.receivedAt && endedAt >= receivedAt - ON_ITS_WAY_MS,
  );
  return isRemovedOrReported || mayHaveLostTheToken(facts, former, login);
}

/** Tokens are due from 0.7 of their lives on, which the vendor rounds down to seconds. */
const EARLIEST_SHARE = 0.6;

/** The logouts and reports of the terminal, and the erasures of its account. */
function actsOn(facts: Facts, { account, uniqueId }: Terminal): Exchange[] {
  return facts.actsOf({ account }).filter((act) => act.kind === 'erasure' || act.uniqueId === uniqueId);
}
