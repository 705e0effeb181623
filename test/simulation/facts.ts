import type { AccountId, SubjectId } from '../../src/token/subject.ts';

/**
 * What happened in the world around the replicas. No code under test assigns any of it: the apps, the operators, the
 * model of the vendor and the model of the store's server note it down. All times are virtual times, and replicas are
 * named.
 */

/** One attempt of a login, as the vendor saw it. */
export interface LoginFact {
  readonly id: SubjectId;
  readonly account: AccountId;
  /** For the trace. */
  readonly terminal: string;
  readonly by: string;
  /** When the vendor received it. */
  readonly receivedAt: number;
  /** When the vendor issued the token, which ended the former one in mode `replace`; `undefined`: it issued none. */
  issuedAt: number | undefined;
  accessToken: string | undefined;
  /** When the vendor stops to accept the token. */
  expiresAt: number;
  /** When a later login ended the token at the vendor. */
  endedAt: number | undefined;
  /** When the replica got the token. */
  deliveredAt: number | undefined;
  /** When an app first got the token, and from which replicas, with the time of the first answer of each. */
  servedAt: number | undefined;
  readonly servedBy: Map<string, number>;
  /** When the store first executed a write of the token. */
  storedAt: number | undefined;
  /** When an app reported the token as refused. */
  reportedAt: number | undefined;
}

/** A logout or an erasure that an app or an operator asked for. */
export interface RemovalFact {
  readonly kind: 'logout' | 'erasure';
  /** The terminal of a logout. */
  readonly id: SubjectId | undefined;
  readonly account: AccountId;
  readonly name: string;
  readonly by: string;
  readonly beganAt: number;
  answeredAt: number | undefined;
  hasSucceeded: boolean;
  /** When the store executed it. */
  executedAt: number | undefined;
  /** When each replica was told of it. */
  readonly heardAt: Map<string, number>;
  /** When the store last lost it, and how: it came back without data, or with those of an earlier time. */
  lost: { readonly at: number; readonly by: 'empty' | 'back' } | undefined;
}

/** A read of an app. */
export interface ReadFact {
  readonly id: SubjectId;
  readonly account: AccountId;
  readonly terminal: string;
  readonly by: string;
  readonly beganAt: number;
  readonly sessionIssuedAt: number;
  /** The token that the app reports as refused. */
  readonly refused: string | undefined;
}

/** The longest time between the lease of a login and its first attempt while its replica runs. */
const START_MS = 500;

/** The facts of one run. */
export class Facts {
  readonly logins: LoginFact[] = [];
  readonly #loginsOf = new Map<SubjectId, LoginFact[]>();
  readonly #byToken = new Map<string, LoginFact>();
  readonly #standstills: { readonly by: string; readonly from: number; readonly until: number }[] = [];
  readonly #removalsOf = new Map<SubjectId | AccountId, RemovalFact[]>();
  /** When each account was last asked for: the latest issue time of a session, or the time of an operator's request. */
  readonly #askedAt = new Map<AccountId, number>();

  addLogin(login: LoginFact): void {
    this.logins.push(login);
    addTo(this.#loginsOf, login.id, login);
  }

  addToken(accessToken: string, login: LoginFact): void {
    this.#byToken.set(accessToken, login);
  }

  /** The login of a token. */
  loginOf(accessToken: string | undefined): LoginFact | undefined {
    return this.#byToken.get(accessToken ?? '');
  }

  /** The logins of a terminal in the order in which the vendor received them. */
  loginsOf(id: SubjectId): readonly LoginFact[] {
    return this.#loginsOf.get(id) ?? [];
  }

  /** Whether a replica stood still at some time between two. */
  stoodStill(by: string, from: number, until: number): boolean {
    return this.#standstills.some((one) => one.by === by && one.from <= until && one.until >= from);
  }

  /** The replica's event loop does not run for `ms`. */
  addStandstill(by: string, at: number, ms: number): void {
    this.#standstills.push({ by, from: at, until: at + ms });
  }

  /**
   * When the vendor received the first attempt of the login. If its replica stood still right before, the login may
   * have begun before that: it has its lease from then.
   * @param budgetMs the longest time of all attempts
   */
  beganAt(login: LoginFact, budgetMs: number): number {
    let beganAt = login.receivedAt;
    for (const { by, receivedAt, deliveredAt } of this.loginsOf(login.id)) {
      const isEarlierAttempt = by === login.by && deliveredAt === undefined && receivedAt > login.receivedAt - budgetMs;
      if (isEarlierAttempt) beganAt = Math.min(beganAt, receivedAt);
    }
    const standstill = this.#standstills.findLast(({ by, from }) => by === login.by && from <= beganAt);
    return standstill && beganAt < standstill.until + START_MS ? standstill.from - START_MS : beganAt;
  }

  addRemoval(removal: RemovalFact): void {
    addTo(this.#removalsOf, removal.id ?? removal.account, removal);
  }

  logoutsOf(id: SubjectId): readonly RemovalFact[] {
    return this.#removalsOf.get(id) ?? [];
  }

  erasuresOf(account: AccountId): readonly RemovalFact[] {
    return this.#removalsOf.get(account) ?? [];
  }

  /** The logouts of a terminal, and the erasures of its account. */
  removalsOf({ id, account }: Pick<LoginFact, 'id' | 'account'>): readonly RemovalFact[] {
    return [...this.logoutsOf(id), ...this.erasuresOf(account)];
  }

  *removals(): Generator<RemovalFact> {
    for (const removals of this.#removalsOf.values()) yield* removals;
  }

  /** @param at when the session was issued, or when an operator asked */
  addRequest(account: AccountId, at: number): void {
    this.#askedAt.set(account, Math.max(at, this.askedAt(account)));
  }

  askedAt(account: AccountId): number {
    return this.#askedAt.get(account) ?? Number.NEGATIVE_INFINITY;
  }
}

function addTo<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}
