import type { Clock } from '../../token/clock.ts';
import type { StoredAccount } from '../../token/ports.ts';
import type { TokenRecord } from '../../token/sdk-token.ts';
import { type AccountId, accountId, accountOf, type SubjectId } from '../../token/subject.ts';

interface Account {
  readonly records: Map<SubjectId, TokenRecord>;
  /** What outlives the tokens: from the first success to the erasure. */
  known: { readonly unionId: string; readonly accessId: string; readonly region: string } | undefined;
  erasedAt: number | undefined;
}

/** The accounts of one process: their terminals, and the directory of accessIds that outlives tokens. */
export class MemoryAccounts {
  readonly #clock: Clock;
  readonly #terminalsPerAccount: number;
  readonly #accounts = new Map<AccountId, Account>();

  constructor(clock: Clock, terminalsPerAccount: number) {
    this.#clock = clock;
    this.#terminalsPerAccount = terminalsPerAccount;
  }

  /** The account a subject belongs to, for changing it. */
  of(id: SubjectId): Account {
    const known = this.#accounts.get(accountOf(id));
    if (known) return known;
    const account = { records: new Map(), known: undefined, erasedAt: undefined };
    this.#accounts.set(accountOf(id), account);
    return account;
  }

  /** The account a subject belongs to, where there is one. */
  peek(id: SubjectId): Account | undefined {
    return this.#accounts.get(accountOf(id));
  }

  find(unionId: string): StoredAccount | undefined {
    const account = this.#accounts.get(accountId(unionId));
    if (!account?.known) return undefined;
    const { accessId, region } = account.known;
    return { accessId, region, records: [...account.records.values()].filter((record) => this.lives(record)) };
  }

  lookUp(accessIds: readonly string[]): ReadonlyMap<string, string> {
    const known = [...this.#accounts.values()].flatMap((account) => account.known ?? []);
    const asked = known.filter(({ accessId }) => accessIds.includes(accessId));
    return new Map(asked.map(({ accessId, unionId }) => [accessId, unionId]));
  }

  /** Forgets everything of the account but the instant it answers with, and the subjects it had. */
  erase(account: AccountId): { readonly erasedAt: number; readonly subjects: readonly SubjectId[] } {
    const records = this.#accounts.get(account)?.records ?? new Map<SubjectId, TokenRecord>();
    const newest = Math.max(this.#clock.now(), ...[...records.values()].map(({ generation }) => generation));
    this.#accounts.set(account, { records: new Map(), known: undefined, erasedAt: newest + 1 });
    return { erasedAt: newest + 1, subjects: [...records.keys()] };
  }

  lives({ token }: TokenRecord): boolean {
    return token.expiresAt > this.#clock.now();
  }

  /** The subject's record, if it lives; what is left of an expired one goes. */
  living(id: SubjectId): TokenRecord | undefined {
    const records = this.peek(id)?.records;
    const record = records?.get(id);
    if (record && this.lives(record)) return record;
    records?.delete(id);
    return undefined;
  }

  /** Whether this would be another terminal of an account that has as many as it may. */
  isOneTooMany(id: SubjectId): boolean {
    const records = this.peek(id)?.records;
    const own = records?.get(id);
    if (!records || (own && this.lives(own))) return false;
    return [...records.values()].filter((record) => this.lives(record)).length >= this.#terminalsPerAccount;
  }
}
