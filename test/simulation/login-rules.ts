import type { SubjectId } from '../../src/token/subject.ts';
import { CONTACT_MS, type Conditions, SETTLE_MS } from './conditions.ts';
import type { Facts, LoginFact, RemovalFact } from './facts.ts';
import { POLICY } from './replica.ts';
import type { Scenario } from './scenario.ts';
import type { VendorModel } from './vendor-model.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Largest pause of a worker, and the time of its claim. */
const WORKER_MS = 6_000;
/** The waits of a login for the store, before it is sent. */
const LOGIN_WAIT_MS = 500;
/** A logout or an erasure without an answer after this time gets none: its replica has died. */
const LONGEST_REQUEST_MS = 2_000;

export interface LoginRulesOptions {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly facts: Facts;
  readonly conditions: Conditions;
  readonly vendor: VendorModel;
  /** The login whose token the store has. */
  readonly storedToken: (id: SubjectId) => LoginFact | undefined;
  readonly fail: (invariant: string, what: string) => void;
}

/** Which logins the vendor should not get, and which it should. */
export class LoginRules {
  readonly #options: LoginRulesOptions;

  constructor(options: LoginRulesOptions) {
    this.#options = options;
  }

  onLogin(login: LoginFact): void {
    const { conditions, vendor, fail } = this.#options;
    const { id, terminal, by } = login;
    const count = vendor.inFlight(id);
    if (count > 1 && conditions.isQuiet(SETTLE_MS) && conditions.isVendorQuiet(SETTLE_MS)) {
      fail('one login per subject at a time', `${terminal}: ${count} logins in flight, the last by ${by}`);
    }
    const current = vendor.current(id);
    if (current && this.#isNeedless(login, current)) {
      fail('no login for a token that is valid and not due', `${terminal} by ${by} ends ${current.accessToken}`);
    }
    this.#checkBudget(login);
  }

  #checkBudget({ receivedAt }: LoginFact): void {
    const { scenario, facts, conditions, fail } = this.#options;
    const { logins } = facts;
    let inSecond = 0;
    for (let index = logins.length - 1; index >= 0 && (logins[index]?.receivedAt ?? 0) > receivedAt - 1_000; index -= 1)
      inSecond += 1;
    if (inSecond > scenario.maxLoginsPerSecond * 1.1 + 2 && conditions.isQuiet(SETTLE_MS)) {
      fail('the vendor gets no more logins than the budget', `${inSecond}`);
    }
  }

  /** @param current the login of the token that the vendor takes now */
  #isNeedless(login: LoginFact, current: LoginFact): boolean {
    const { scenario, time, facts, conditions, storedToken } = this.#options;
    const { now } = time;
    const { servedAt, storedAt, reportedAt, receivedAt, expiresAt, servedBy } = current;
    const knownAt = Math.min(servedAt ?? Number.POSITIVE_INFINITY, storedAt ?? Number.POSITIVE_INFINITY);
    // Messages that were sent before it was known, from the lease to the login.
    if (now <= knownAt + 2 * conditions.underWayMs || reportedAt !== undefined) return false;
    const dueFrom = receivedAt + (expiresAt - receivedAt) * POLICY.share.from - conditions.tokenErrorMs;
    if (now >= dueFrom) return false;
    const removals = facts.removalsOf(login);
    if (removals.some((removal) => endOf(removal, now) >= receivedAt)) return false;
    if (this.#hasRival(current) || this.#isRetry(login)) return false;
    const stored = storedToken(login.id);
    // The vendor takes both tokens, and the one that is stored may be due.
    if (stored && stored !== current && scenario.vendorMode === 'overlap') {
      return false;
    }
    // A replica that has not heard of an erasure logs in for a session from before it, and the store refuses the token.
    const isUnheard = removals.some(
      ({ executedAt, heardAt }) => executedAt !== undefined && !((heardAt.get(current.by) ?? now) < receivedAt),
    );
    if (storedAt === undefined && isUnheard) return false;
    if (
      conditions.dataChangedAt > receivedAt - conditions.loginBudgetMs &&
      now - conditions.dataChangedAt < SETTLE_MS
    ) {
      return false;
    }
    if (servedBy.has(login.by)) return true;
    const isInStore = stored === current && storedAt !== undefined;
    const isNew = isInStore && now <= storedAt + 2 * conditions.underWayMs;
    // The others that have served a token which has just been written back got it from the store, after this login's
    // lease.
    const holders = isNew ? [current.by] : [current.by, ...servedBy.keys()];
    const isHeld = (isInStore && !isNew) || holders.some((name) => conditions.hasContact(name, CONTACT_MS));
    return isHeld && conditions.hasContact(login.by, CONTACT_MS);
  }

  /** Whether another login ran at the same time, so that nobody knows which token the vendor takes. */
  #hasRival(login: LoginFact): boolean {
    const { time, facts, conditions } = this.#options;
    const answeredAt = ({ receivedAt, issuedAt, deliveredAt }: LoginFact): number =>
      deliveredAt ?? issuedAt ?? Math.min(time.now, receivedAt + conditions.loginBudgetMs);
    const beganAt = (one: LoginFact): number => facts.beganAt(one, conditions.loginBudgetMs) - LOGIN_WAIT_MS;
    return facts.loginsOf(login.id).some((other) => {
      if (other === login || other.receivedAt === time.now) return false;
      return beganAt(other) <= answeredAt(login) && beganAt(login) <= answeredAt(other);
    });
  }

  #isRetry(login: LoginFact): boolean {
    const { facts, conditions } = this.#options;
    const since = login.receivedAt - conditions.loginBudgetMs;
    return facts
      .loginsOf(login.id)
      .some(
        ({ by, receivedAt, deliveredAt }) =>
          by === login.by && receivedAt > since && receivedAt < login.receivedAt && deliveredAt === undefined,
      );
  }

  /** A token that an app has got in time is renewed before it ends. */
  watchRenewal(login: LoginFact): void {
    const { time, scenario, facts, conditions, fail } = this.#options;
    const { receivedAt, expiresAt } = login;
    // To a replica whose clock is that far behind, the token is not due before its end.
    if (conditions.clockErrorMs > (expiresAt - receivedAt) * (1 - POLICY.share.to)) return;
    if (time.now > receivedAt + (expiresAt - receivedAt) * POLICY.share.to - WORKER_MS - conditions.clockErrorMs)
      return;
    time.after(expiresAt - time.now, () => {
      const wellMs = scenario.tokenLifeMs + SETTLE_MS;
      if (!conditions.isQuiet(wellMs) || !conditions.isVendorQuiet(wellMs)) return;
      if (facts.removalsOf(login).some((removal) => endOf(removal, time.now) >= login.receivedAt)) return;
      if (facts.loginsOf(login.id).some((other) => other.receivedAt > login.receivedAt)) return;
      fail('a token that an app has read since its last renewal is renewed before it ends', login.terminal);
    });
  }
}

/** Until when a removal may have an effect. */
function endOf({ beganAt, answeredAt, executedAt }: RemovalFact, now: number): number {
  return Math.max(answeredAt ?? Math.min(now, beganAt + LONGEST_REQUEST_MS), executedAt ?? beganAt);
}
