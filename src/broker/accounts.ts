import type { AccountStore, StoredAccount, TerminalStore } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { TokenCache } from './token-cache.ts';

/** Finds accounts, logs terminals out and erases accounts. A logout or erasure wins over every cache and every renewal. */
export class Accounts {
  readonly #accounts: AccountStore;
  readonly #terminals: TerminalStore;
  readonly #cache: TokenCache;

  constructor(accounts: AccountStore, terminals: TerminalStore, cache: TokenCache) {
    this.#accounts = accounts;
    this.#terminals = terminals;
    this.#cache = cache;
  }

  /** @throws BrokerError `store_unavailable` */
  find(unionId: string): Promise<StoredAccount | undefined> {
    return this.#accounts.find(unionId);
  }

  /** Returns the unionId of each known accessId. @throws BrokerError `store_unavailable` */
  lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.#accounts.lookUp(accessIds);
  }

  /** Removes the terminal's token on all replicas. Idempotent. @throws BrokerError `store_unavailable` */
  async logOut(subject: Subject): Promise<void> {
    const id = subjectId(subject);
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
