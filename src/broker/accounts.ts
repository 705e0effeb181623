import type { AccountStore, TerminalStore } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { LoginLimits } from './login-limits.ts';
import { accountErased, type SessionAge } from './requests.ts';
import type { TokenCache } from './token-cache.ts';

/** Logs terminals out and erases accounts. A logout or erasure wins over every cache and every renewal. */
export class Accounts {
  readonly #accounts: Pick<AccountStore, 'erase'>;
  readonly #terminals: TerminalStore;
  readonly #cache: TokenCache;
  readonly #limits: LoginLimits;

  constructor(accounts: Pick<AccountStore, 'erase'>, terminals: TerminalStore, cache: TokenCache, limits: LoginLimits) {
    this.#accounts = accounts;
    this.#terminals = terminals;
    this.#cache = cache;
    this.#limits = limits;
  }

  /**
   * Removes the terminal's token on all replicas. Idempotent.
   * @param by an app with its session, or the operator. An app's logout counts against the account's limit
   * @throws BrokerError `store_unavailable`; for an app also `rate_limited`, and `session_invalid` when the account was
   *   erased after the session was issued
   */
  async logOut(subject: Subject, by: SessionAge | 'operator'): Promise<void> {
    const id = subjectId(subject);
    if (by !== 'operator') await this.#limits.admit(id, 'logout');
    const outdated = await this.#terminals.remove(id, by === 'operator' ? undefined : (by.sessionIssuedAt ?? 0));
    if (outdated === undefined) {
      // Only the logout of an app can be refused.
      await this.#limits.giveBack(id, 'logout');
      throw accountErased(by as SessionAge);
    }
    this.#cache.loggedOut(id, outdated);
  }

  /**
   * Removes the account on all replicas. From now on the broker refuses sessions issued before this call. Idempotent.
   * @throws BrokerError `store_unavailable`
   */
  async erase(unionId: string): Promise<void> {
    this.#cache.erased(accountId(unionId), await this.#accounts.erase(unionId));
  }
}
