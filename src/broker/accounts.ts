import type { AccountStore, KnownAccount, StoredAccount, TerminalStore } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { LoginLimits } from './login-limits.ts';
import type { TokenCache } from './token-cache.ts';

/** Finds accounts, logs terminals out and erases accounts. A logout or erasure wins over every cache and every renewal. */
export class Accounts {
  readonly #accounts: AccountStore;
  readonly #terminals: TerminalStore;
  readonly #cache: TokenCache;
  readonly #limits: LoginLimits;

  constructor(accounts: AccountStore, terminals: TerminalStore, cache: TokenCache, limits: LoginLimits) {
    this.#accounts = accounts;
    this.#terminals = terminals;
    this.#cache = cache;
    this.#limits = limits;
  }

  /** @throws BrokerError `store_unavailable` */
  find(unionId: string): Promise<StoredAccount | undefined> {
    return this.#accounts.find(unionId);
  }

  /** Returns accessId and country of a known account. From then on {@link lookUp} finds it. @throws BrokerError `store_unavailable` */
  identify(unionId: string): Promise<KnownAccount | undefined> {
    return this.#accounts.identify(unionId);
  }

  /** Returns the unionId of each known accessId. @throws BrokerError `store_unavailable` */
  lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.#accounts.lookUp(accessIds);
  }

  /**
   * Removes the terminal's token on all replicas. Idempotent.
   * @param by an app's logout counts against the account's limit
   * @throws BrokerError `store_unavailable`; `rate_limited` for an app
   */
  async logOut(subject: Subject, by: 'app' | 'operator'): Promise<void> {
    const id = subjectId(subject);
    if (by === 'app') await this.#limits.admit(id, 'logout');
    this.#cache.forget(id, await this.#terminals.remove(id));
  }

  /**
   * Removes the account on all replicas. From now on the broker refuses sessions issued before this call. Idempotent.
   * @throws BrokerError `store_unavailable`
   */
  async erase(unionId: string): Promise<void> {
    this.#cache.forgetAccount(accountId(unionId), await this.#accounts.erase(unionId));
  }
}
