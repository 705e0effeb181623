import type { AccountStore, StoredAccount, TerminalStore } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { TokenCache } from './token-cache.ts';

/** Whose terminals there are, and their end: logout and erasure, which win over every cache and every renewal. */
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

  /** The unionIds of those accessIds that are known. @throws BrokerError `store_unavailable` */
  lookUp(accessIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return this.#accounts.lookUp(accessIds);
  }

  /** Forgets the terminal's token everywhere. Idempotent. @throws BrokerError `store_unavailable` */
  async logOut(subject: Subject): Promise<void> {
    const id = subjectId(subject);
    this.#cache.forget(id, await this.#terminals.remove(id));
  }

  /**
   * Forgets the account everywhere; sessions issued up to now are refused from now on. Idempotent.
   * @throws BrokerError `store_unavailable`
   */
  async erase(unionId: string): Promise<void> {
    this.#cache.forgetAccount(accountId(unionId), await this.#accounts.erase(unionId));
  }
}
