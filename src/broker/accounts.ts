import type { AccountStore, TerminalStore } from '../token/ports.ts';
import { accountId, type Subject, subjectId } from '../token/subject.ts';
import type { LoginLimits } from './login-limits.ts';
import { type SessionAge, sessionEnded } from './requests.ts';
import type { TokenCache } from './token-cache.ts';

export interface AccountsOptions {
  readonly accounts: Pick<AccountStore, 'erase' | 'logOut'>;
  readonly terminals: TerminalStore;
  readonly cache: TokenCache;
  readonly limits: LoginLimits;
}

export type Accounts = ReturnType<typeof createAccounts>;

/** Logs terminals out and erases accounts. A logout or erasure wins over every cache and every renewal. */
export function createAccounts({ accounts, terminals, cache, limits }: AccountsOptions) {
  return { logOut, logOutEverywhere, erase };

  /**
   * Removes the terminal's token on all replicas. They ask again about each session of its account. Idempotent.
   * @param by an app with its session, or the operator. An app's logout counts against the account's limit
   * @throws BrokerError `store_unavailable`; for an app also `rate_limited`, and `session_invalid` when the session was
   *   issued before all sessions of the account ended
   */
  async function logOut(subject: Subject, by: SessionAge | 'operator'): Promise<void> {
    const id = subjectId(subject);
    if (by !== 'operator') await limits.admit(id, 'logout');
    const outdated = await terminals.remove(id, by === 'operator' ? undefined : (by.sessionIssuedAt ?? 0));
    if (outdated === undefined) {
      // Only the logout of an app can be refused.
      await limits.giveBack(id, 'logout');
      throw sessionEnded(by as SessionAge);
    }
    cache.loggedOut(id, outdated);
  }

  /** Logs out all terminals. Older sessions are refused. Idempotent. @throws BrokerError `store_unavailable` */
  async function logOutEverywhere(unionId: string): Promise<void> {
    cache.loggedOut(accountId(unionId), await accounts.logOut(unionId));
  }

  /** Removes an account everywhere. Older sessions are refused. Idempotent. @throws BrokerError `store_unavailable` */
  async function erase(unionId: string): Promise<void> {
    cache.erased(accountId(unionId), await accounts.erase(unionId));
  }
}
