import type { AccountStore, TerminalStore } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { LoginLimits } from './login-limits.ts';
import { type SessionAge, sessionEnded } from './requests.ts';
import type { TokenCache } from './token-cache.ts';

/** Logs terminals out and erases accounts. A logout or erasure wins over every cache and every renewal. */
export class Accounts {
  readonly #accounts: Pick<AccountStore, 'erase' | 'logOut'>;
  readonly #terminals: TerminalStore;
  readonly #cache: TokenCache;
  readonly #limits: LoginLimits;

  constructor(
    accounts: Pick<AccountStore, 'erase' | 'logOut'>,
    terminals: TerminalStore,
    cache: TokenCache,
    limits: LoginLimits,
  ) {
    this.#accounts = accounts;
    this.#terminals = terminals;
    this.#cache = cache;
    this.#limits = limits;
  }

  /**
   * Removes the terminal's token on all replicas. They ask again about each session of its account. Idempotent.
   * @param by an app with its session, or the operator. An app's logout counts against the account's limit
   * @throws BrokerError `store_unavailable`; for an app also `rate_limited`, and `session_invalid` when the session
   *   was issued before all sessions of the account ended
   */
  async logOut(subject: Subject, by: SessionAge | 'operator'): Promise<void> {
    const id = subjectId(subject);
    if (by !== 'operator') await this.#limits.admit(id, 'logout');
    const outdated = await this.#terminals.remove(id, by === 'operator' ? undefined : (by.sessionIssuedAt ?? 0));
    if (outdated === undefined) {
      // Only the logout of an app can be refused.
      await this.#limits.giveBack(id, 'logout');
      throw sessionEnded(by as SessionAge);
    }
    this.#cache.loggedOut(id, outdated);
  }

  /**
   * Logs out all terminals of the account on all replicas. From now on the broker refuses sessions issued before this
   * call. Idempotent.
   * @throws BrokerError `store_unavailable`
   */
  async logOutEverywhere(unionId: string): Promise<void> {
    this.#cache.loggedOut(accountId(unionId), await this.#accounts.logOut(unionId));
  }

  /**
   * Removes the account on all replicas. From now on the broker refuses sessions issued before this call. Idempotent.
   * @throws BrokerError `store_unavailable`
   */
  async erase(unionId: string): Promise<void> {
    this.#cache.erased(accountId(unionId), await this.#accounts.erase(unionId));
  }
}
