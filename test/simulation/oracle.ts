import { BrokerError } from '../../src/token/errors.ts';
import type { Announcement } from '../../src/token/ports.ts';
import { servableUntil } from '../../src/token/renewal-timing.ts';
import type { ServedToken } from '../../src/token/sdk-token.ts';
import { type AccountId, accountOf, type SubjectId } from '../../src/token/subject.ts';
import { accessTokenOf } from '../support/served-token.ts';
import { type Conditions, SETTLE_MS } from './conditions.ts';
import type { Facts, LoginFact, ReadFact, RemovalFact } from './facts.ts';
import { LoginRules } from './login-rules.ts';
import type { Scenario } from './scenario.ts';
import type { ExecutedCommand, StoreServer } from './store-server.ts';
import type { VendorModel } from './vendor-model.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A replica that knows of a newer token serves it after this time, when nothing is broken. */
const REPLACED_MS = 6_000;
/** A replica with the former token in memory has the newer one so long after it has heard of it, if all is well. */
const LEARNED_MS = 2_000;
/** How long a replica may serve a token from memory without asking the store. */
const LONGEST_FRESH_MS = 60_000;
/** A read waits no longer for the store, and so may find its token past the margin. */
const LONGEST_LOOK_UP_MS = 700;
/** How long after an erasure a new session may still seem as old as it. */
const SAME_TIME_MS = 1_000;

export interface OracleOptions {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly facts: Facts;
  readonly conditions: Conditions;
  readonly vendor: VendorModel;
  readonly server: StoreServer;
  readonly note: (line: string) => void;
  readonly fail: (invariant: string, what: string) => void;
}

/**
 * Judges what the replicas do by {@link Facts} alone: times of requests and answers, what the vendor received, issued
 * and takes now, and what the store's server executed. It never looks at a generation or another number that the code
 * under test gives.
 */
export class Oracle {
  readonly #options: OracleOptions;
  readonly #logins: LoginRules;
  /** The token of each terminal in the store, and when it was written. */
  readonly #stored = new Map<SubjectId, { readonly login: LoginFact; readonly at: number }>();
  readonly #removalOf = new WeakMap<Announcement, RemovalFact>();
  readonly #storedBy = new WeakMap<Announcement, LoginFact>();
  /** When each replica had the token that the store has had since, by its name. */
  readonly #learnedAt = new WeakMap<LoginFact, Map<string, number>>();
  /** What was wrong in the store at the last look. It is reported once. */
  #wrongInStore: ReadonlySet<string> = new Set();

  constructor(options: OracleOptions) {
    this.#options = options;
    this.#logins = new LoginRules({ ...options, storedToken: (id) => this.#stored.get(id)?.login });
    options.server.onCommand((command) => this.#onCommand(command));
  }

  // --- reads

  onServed(read: ReadFact, token: ServedToken): void {
    const { time, facts, conditions, fail } = this.#options;
    const { terminal, by, beganAt } = read;
    const accessToken = accessTokenOf(token);
    const login = facts.loginOf(accessToken);
    if (!login || login.id !== read.id) {
      fail('an app gets a token that the vendor issued for its terminal', terminal);
      return;
    }
    const what = `${accessToken} of ${terminal} by ${by}`;
    if (login.servedAt === undefined) this.#logins.watchRenewal(login);
    login.servedAt ??= time.now;
    if (!login.servedBy.has(by)) login.servedBy.set(by, this.#options.time.now);
    const pastMs =
      time.now - servableUntil({ issuedAt: login.receivedAt, expiresAt: login.expiresAt }) - conditions.tokenErrorMs;
    if (pastMs > 0) fail('no token is served past its margin', `${what}, ${Math.round(pastMs)} ms past`);
    if (accessToken === read.refused) fail('a refused token is not served to its reporter again', what);
    if (facts.logoutsOf(read.id).some((logout) => !conditions.mayServe(read, login, logout))) {
      fail('no token of a login from before a logout is served after it', what);
    }
    if (facts.erasuresOf(read.account).some((erasure) => !conditions.mayServe(read, login, erasure))) {
      fail('no token of a login from before an erasure is served after it', what);
    }
    if (facts.erasuresOf(read.account).some((erasure) => this.#isOutdatedSession(read, erasure))) {
      fail('a session from before an erasure stays refused', what);
    }
    // A replica that has missed the announcement of the later token serves what it knows.
    const known = conditions.losesMessages ? beganAt - LONGEST_FRESH_MS : beganAt;
    if (this.#isDead(login, known)) fail('each served token is one that the vendor takes', what);
    if (this.#isReplaced(login, read)) fail('no token is served after a later one was stored', what);
    const tookMs = time.now - beganAt;
    if (tookMs > conditions.longestReadMs)
      fail('each read ends within its bound', `${terminal} took ${Math.round(tookMs)} ms`);
  }

  onFailed(read: ReadFact, error: unknown): void {
    const { time, facts, conditions, fail } = this.#options;
    const { terminal, beganAt } = read;
    const tookMs = Math.round(time.now - beganAt);
    if (!(error instanceof BrokerError)) {
      fail('every failure is a BrokerError', String(error));
      return;
    }
    if (error.code === 'rate_limited') return;
    if (error.code === 'session_invalid') {
      const ends = facts
        .erasuresOf(read.account)
        .map((erasure) => erasure.answeredAt ?? erasure.executedAt ?? time.now);
      if (read.sessionIssuedAt <= Math.max(...ends) + SAME_TIME_MS + conditions.clockErrorMs) return;
      fail('no session from after an erasure is refused because of it', `${terminal} by ${read.by}`);
      return;
    }
    // A logout or an erasure that overtakes a login ends it, and the reads that wait for it, unless they came later.
    const overtaking = facts.removalsOf(read).filter(({ heardAt }) => (heardAt.get(read.by) ?? beganAt) >= beganAt);
    const { executedAt = Number.NEGATIVE_INFINITY } = latestOf(overtaking) ?? {};
    if (error.code === 'session_forbidden' && time.now - executedAt < SETTLE_MS) return;
    if (this.#knowsValidToken(read))
      fail('no read fails while its replica knows a valid token', `${terminal} by ${read.by}: ${error.code}`);
    if (conditions.isWell)
      fail('no read fails while nothing is broken', `${terminal}: ${error.code} after ${tookMs} ms`);
  }

  /** Whether the replica has served a token that is valid still, and that nothing has ended or replaced. */
  #knowsValidToken({ id, by, refused, beganAt }: ReadFact): boolean {
    const { time, facts, conditions } = this.#options;
    const login = facts.loginsOf(id).findLast(({ servedBy }) => servedBy.has(by));
    if (!login || refused !== undefined) return false;
    const { receivedAt, expiresAt, endedAt, reportedAt, servedBy } = login;
    const isRemoved = facts
      .removalsOf(login)
      .some((removal) => (removal.answeredAt ?? removal.executedAt ?? removal.beganAt) > receivedAt);
    const isEnded = endedAt !== undefined || reportedAt !== undefined || conditions.dataChangedAt > receivedAt;
    const stored = this.#stored.get(id);
    const isReplaced = stored !== undefined && stored.login !== login && stored.at > receivedAt;
    if (isRemoved || isEnded || isReplaced) return false;
    const until = servableUntil({ issuedAt: receivedAt, expiresAt }) - conditions.tokenErrorMs;
    // The read may log in since before the replica knew the token.
    const isLearned = (servedBy.get(by) ?? 0) > beganAt;
    if (isLearned || facts.stoodStill(by, beganAt, time.now)) return time.now < until;
    return beganAt < until - LONGEST_LOOK_UP_MS;
  }

  #isOutdatedSession(read: ReadFact, erasure: RemovalFact): boolean {
    const { conditions, time } = this.#options;
    const { executedAt, answeredAt, hasSucceeded, heardAt, lost } = erasure;
    if (!hasSucceeded || executedAt === undefined || answeredAt === undefined || lost) return false;
    if (read.sessionIssuedAt > executedAt || read.beganAt < answeredAt) return false;
    const toldAt = heardAt.get(read.by);
    if (toldAt !== undefined) return time.now > toldAt + conditions.underWayMs;
    if (conditions.isUnanswered(read.by, read.beganAt)) return false;
    return read.beganAt > conditions.unknownUntil(answeredAt, read.by);
  }

  /** A later login has ended the token, and the fleet has had time to learn of it. */
  #isDead(login: LoginFact, at: number): boolean {
    const { conditions, facts } = this.#options;
    if (login.endedAt === undefined || !conditions.isWell) return false;
    return facts
      .loginsOf(login.id)
      .some(
        (other) => isIssuedLater(other, login) && this.#isKnown(other) && (other.deliveredAt ?? at) < at - REPLACED_MS,
      );
  }

  /** Whether an answer of the vendor reached a replica that did not lose it. */
  #isKnown({ deliveredAt, servedAt, storedAt, by }: LoginFact): boolean {
    if (deliveredAt === undefined) return false;
    return servedAt !== undefined || storedAt !== undefined || this.#options.conditions.isAlive(by);
  }

  /** Whether the vendor received the first attempt of `one` after it had answered `other`. */
  #isSentAfter(one: LoginFact, other: LoginFact): boolean {
    const { facts, conditions } = this.#options;
    return facts.beganAt(one, conditions.loginBudgetMs) >= (other.issuedAt ?? Number.POSITIVE_INFINITY);
  }

  #isReplaced(login: LoginFact, { id, by, beganAt }: ReadFact): boolean {
    const { conditions } = this.#options;
    const stored = this.#stored.get(id);
    if (!stored || !this.#isSentAfter(stored.login, login)) return false;
    // From then on also while something is broken.
    const learnedAt = this.#learnedAt.get(stored.login)?.get(by);
    if (learnedAt !== undefined && beganAt > learnedAt) return true;
    if (conditions.isUnanswered(by, beganAt)) return false;
    return beganAt > conditions.unknownUntil(stored.at, by);
  }

  onLogin(login: LoginFact): void {
    this.#logins.onLogin(login);
  }

  // --- logouts and erasures

  /** An announcement has reached a replica. */
  onHeard(announcement: Announcement, name: string): void {
    const { time, facts, conditions } = this.#options;
    this.#removalOf.get(announcement)?.heardAt.set(name, time.now);
    const login = this.#storedBy.get(announcement);
    if (!login) return;
    const heardAt = time.now;
    time.after(LEARNED_MS, () => {
      if (!conditions.hasContact(name, LEARNED_MS) || facts.stoodStill(name, heardAt, time.now)) return;
      const learned = this.#learnedAt.get(login) ?? new Map<string, number>();
      this.#learnedAt.set(login, learned.set(name, time.now));
    });
  }

  /** @param to the time whose state the store has again */
  onDataLost(by: 'empty' | 'back', to: number): void {
    const { time, facts, conditions } = this.#options;
    conditions.dataChangedAt = time.now;
    this.#stored.clear();
    for (const removal of facts.removals()) {
      if ((removal.lost?.at ?? removal.executedAt ?? 0) > to) removal.lost = { at: time.now, by };
    }
  }

  // --- the store

  #onCommand({ name, args, by, sentAt, result, announced }: ExecutedCommand): void {
    for (const announcement of announced) {
      if (announcement.kind === 'saved') this.#onStored(announcement, args, by);
      if (announcement.kind === 'removed') this.#onRemoved(announcement, announcement.id, { name, by, sentAt });
      if (announcement.kind === 'erased') this.#onRemoved(announcement, announcement.account, { name, by, sentAt });
    }
    const [lease] = args as readonly [{ readonly id: SubjectId }];
    if (name === 'saveAccessId' && result === 'saved') this.#checkAccessId(lease.id, by);
  }

  /**
   * The account of an accessId may be erased while an operator asks for it. Only a login from before that is too old.
   */
  #checkAccessId(id: SubjectId, by: string): void {
    const { facts, conditions, fail } = this.#options;
    const { receivedAt = 0 } =
      facts.loginsOf(id).findLast((one) => one.by === by && one.deliveredAt !== undefined) ?? {};
    const erasures = facts.erasuresOf(accountOf(id)).filter((one) => conditions.isInForce(one));
    if (erasures.every(({ executedAt = 0 }) => executedAt < receivedAt)) return;
    fail('no accessId of a login from before an erasure is stored after it', `${erasures.at(-1)?.name} by ${by}`);
  }

  #onStored(
    announcement: Extract<Announcement, { readonly generation: number; readonly id: SubjectId }>,
    args: readonly unknown[],
    by: string,
  ): void {
    const { id } = announcement;
    const { time, facts, conditions, note, fail } = this.#options;
    const login = facts.loginOf(accessTokenIn(args));
    if (!login || login.id !== id) {
      fail('only tokens that the vendor issued are stored', id);
      return;
    }
    const what = `${login.accessToken} of ${login.terminal} by ${by}`;
    const before = this.#stored.get(id)?.login;
    if (before && before !== login && this.#isSentAfter(before, login))
      fail('no write brings an older token back', what);
    note(`${login.accessToken} of ${login.terminal} is stored by ${by}`);
    this.#stored.set(id, { login, at: time.now });
    login.storedAt ??= time.now;
    this.#storedBy.set(announcement, login);
    const overtaking = facts
      .removalsOf(login)
      .find((removal) => login.receivedAt < (removal.executedAt ?? 0) && conditions.isInForce(removal));
    if (overtaking)
      fail('no token of a login from before a logout or an erasure is stored after it', `${what}, ${overtaking.name}`);
    this.#checkErasedAccount(login.account, by);
  }

  #checkErasedAccount(account: AccountId, by: string): void {
    const { facts, conditions, fail } = this.#options;
    const erasure = latestOf(facts.erasuresOf(account).filter((one) => conditions.isInForce(one)));
    if (erasure?.executedAt === undefined || facts.askedAt(account) > erasure.executedAt) return;
    fail('an erased account comes back only for a session from after the erasure', `${erasure.name} by ${by}`);
  }

  #onRemoved(
    announcement: Announcement,
    target: SubjectId | AccountId,
    { name, by, sentAt }: Pick<ExecutedCommand, 'name' | 'by' | 'sentAt'>,
  ): void {
    const { time, facts, conditions, fail } = this.#options;
    for (const id of [...this.#stored.keys()]) if (id === target || accountOf(id) === target) this.#stored.delete(id);
    // The replicas know of a repeated one, or do not: both are allowed.
    if (name === 'repeatRemoval' || name === 'repeatErasure') return;
    const known =
      announcement.kind === 'erased' ? facts.erasuresOf(accountOf(target)) : facts.logoutsOf(target as SubjectId);
    // The broker logs out the terminals of an account that the vendor has closed: no request asked for that.
    const asked = known.filter(
      (one) =>
        one.by === by && one.executedAt === undefined && one.beganAt <= sentAt && (one.answeredAt ?? sentAt) >= sentAt,
    );
    // If two ran when it was sent, it is of the one that still runs.
    const removal = asked.find(({ answeredAt }) => answeredAt === undefined) ?? asked[0];
    if (!removal) return;
    removal.executedAt = time.now;
    this.#removalOf.set(announcement, removal);
    const failedAt = removal.hasSucceeded ? undefined : removal.answeredAt;
    if (failedAt !== undefined && time.now > failedAt + conditions.underWayMs) {
      fail('a logout or an erasure that has failed is not executed later', `${removal.name} by ${by}`);
    }
  }

  /** Compares what the store has with what the vendor takes. Called every second. */
  async checkStore(ids: readonly SubjectId[]): Promise<void> {
    const { time, facts, conditions, vendor, server, fail } = this.#options;
    const wrong = new Set<string>();
    const report = (invariant: string, what: string): void => {
      wrong.add(`${invariant}: ${what}`);
      if (!this.#wrongInStore.has(`${invariant}: ${what}`)) fail(invariant, what);
    };
    for (const id of ids) {
      const { record } = await server.data.terminals.read(id);
      const login = facts.loginOf(record?.token.fields['accessToken']);
      if (!login || time.now >= login.expiresAt) continue;
      const what = `${login.accessToken} of ${login.terminal}`;
      // A token that no app has got is not renewed before an app asks for it.
      if (login.servedAt !== undefined && !vendor.inFlight(id) && this.#isDead(login, time.now))
        report('each stored token is one that the vendor takes', what);
      const overtaking = facts
        .removalsOf(login)
        .find((removal) => login.receivedAt < (removal.executedAt ?? 0) && conditions.isInForce(removal));
      if (overtaking) report('no token of a login from before a logout or an erasure is in the store after it', what);
    }
    this.#wrongInStore = wrong;
  }
}

function latestOf(removals: readonly RemovalFact[]): RemovalFact | undefined {
  return removals.reduce<RemovalFact | undefined>(
    (latest, one) => ((one.executedAt ?? 0) > (latest?.executedAt ?? 0) ? one : latest),
    undefined,
  );
}

function isIssuedLater(one: LoginFact, other: LoginFact): boolean {
  return (one.issuedAt ?? 0) > (other.issuedAt ?? 0);
}

/** The token that a command writes. */
function accessTokenIn(args: readonly unknown[]): string | undefined {
  for (const argument of args) {
    const { token } = (argument ?? {}) as { readonly token?: { readonly fields: Readonly<Record<string, string>> } };
    if (token) return token.fields['accessToken'];
  }
  return undefined;
}
