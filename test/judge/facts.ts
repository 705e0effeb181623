import { loginBudget } from '../../src/token/login-queue.ts';
import { servableUntil } from '../../src/token/renewal-timing.ts';
import type { Bounds, Exchange, Fault, Recording, StoreWrite, Terminal, VendorLogin } from './recording.ts';

/**
 * Within this time, another replica knows of a logout, an erasure or a newer token, if nothing is broken. 5 s are
 * published.
 */
export const BOUND_MS = 6_000;
/** Published: within this time, every replica that reaches Redis knows of a change, even if it heard of none. */
export const HIDDEN_MS = 60_000;
/** This long after a fault, all is as if it had not been. */
export const SETTLE_MS = 20_000;
/** An announcement arrives within this time, if nothing is broken. A fault that ends earlier keeps none back. */
export const HEARD_MS = 1_000;
/** A token is stored within this time after the vendor's answer. */
const STORED_MS = 1_500;
/** The longest time between the lease of a login and its first attempt while its replica runs. */
const START_MS = 500;

type Kinds = ReadonlySet<Fault['kind']>;
/** Faults after which a replica may not hear or reach its Redis. On a busy machine, Redis answers too late. */
const CUTS_OFF: Kinds = new Set([
  'busy-machine',
  'freeze',
  'link',
  'unanswered',
  'redis-stall',
  'redis-connections',
  'redis-restart',
  'redis-old',
  'redis-empty',
  'failover-planned',
  'failover-forced',
  'cluster-master',
]);
/** These excuse no failure. */
const HARMLESS: Kinds = new Set(['short-stall', 'start', 'replaced', 'unanswered']);
/** The replica no longer has what it had in memory. */
const FORGETS: Kinds = new Set(['kill', 'terminate', 'start', 'replaced']);
const ENDS: Kinds = new Set(['kill', 'replaced']);
const STANDS_STILL: Kinds = new Set(['freeze', 'short-stall', 'busy-machine', 'kill', 'terminate']);

/** A successful login, and its token's whole life. */
export interface IssuedToken extends VendorLogin {
  readonly token: string;
  readonly expiresAt: number;
  /** The login that ended it, if the vendor takes only one token of a terminal; `undefined`: none. */
  readonly endedBy: IssuedToken | undefined;
  /** The first answer with the token of each replica. */
  readonly servedBy: Map<number, number>;
  /** When the store first had it; `Infinity`: never. */
  storedAt: number;
}

type Place = { readonly account: string; readonly uniqueId?: string | undefined };

/** A recording, prepared for the questions of the rules. */
export class Facts {
  readonly recording: Recording;
  readonly bounds: Bounds;
  /** In order of their end. */
  readonly exchanges: readonly Exchange[];
  /** In order of their beginning, without those that disturb nobody. */
  readonly #disturbing: readonly Fault[];
  readonly #faults: readonly Fault[];
  readonly #acts: Map<string, Exchange[]>;
  readonly #reads: Map<string, Exchange[]>;
  readonly #writes: Map<string, StoreWrite[]>;
  readonly #byToken = new Map<string, IssuedToken>();
  readonly #ofTerminal = new Map<string, VendorLogin[]>();
  readonly #cutsOff = new Map<number, Fault[]>();

  constructor(recording: Recording) {
    this.recording = recording;
    this.bounds = recording.bounds;
    this.exchanges = recording.exchanges.toSorted((one, other) => one.endedAt - other.endedAt);
    this.#faults = recording.faults.toSorted((one, other) => one.from - other.from);
    this.#disturbing = this.#faults.filter(({ kind }) => !HARMLESS.has(kind));
    const isAct = ({ kind }: Exchange) => ['logout', 'accountLogout', 'erasure', 'report'].includes(kind);
    this.#acts = grouped(this.exchanges.filter(isAct), ({ account }) => account);
    this.#reads = grouped(this.reads(), (read) => keyOf(read));
    this.#writes = grouped(recording.store?.writes ?? [], ({ account }) => account);
    this.#indexLogins();
  }

  #indexLogins(): void {
    const { logins, store } = this.recording;
    const latest = new Map<string, IssuedToken>();
    // From the last one to the first: each token is ended by the one after it.
    for (const login of logins.toSorted((one, other) => other.answeredAt - one.answeredAt)) {
      const { token, expiresAt } = login;
      if (token === undefined || expiresAt === undefined) continue;
      const key = keyOf(login);
      const storedAt = store ? Number.POSITIVE_INFINITY : login.deliveredAt;
      const issued = { ...login, token, expiresAt, endedBy: latest.get(key), servedBy: new Map(), storedAt };
      this.#byToken.set(token, issued);
      latest.set(key, issued);
    }
    for (const [key, ofTerminal] of grouped(logins, keyOf)) {
      const inOrder = ofTerminal.toSorted((one, other) => one.receivedAt - other.receivedAt);
      this.#ofTerminal.set(
        key,
        inOrder.map((login) => this.issued(login.token) ?? login),
      );
    }
    for (const [{ replica, endedAt }, { servedBy }] of this.servedTokens()) {
      if (!servedBy.has(replica)) servedBy.set(replica, endedAt);
    }
    for (const { at, kind, token } of store?.writes ?? []) {
      const issued = kind === 'saved' ? this.issued(token) : undefined;
      if (issued) issued.storedAt = Math.min(issued.storedAt, at);
    }
  }

  /** When the last request was answered. */
  get endedAt(): number {
    return this.exchanges.findLast(({ endedAt }) => endedAt < Number.POSITIVE_INFINITY)?.endedAt ?? 0;
  }

  // --- requests

  reads(): Exchange[] {
    return this.exchanges.filter(({ kind }) => kind === 'read' || kind === 'report');
  }

  /** The reads and reports of a terminal, in order of their answers. */
  readsOf(terminal: Place): readonly Exchange[] {
    return this.#reads.get(keyOf(terminal)) ?? [];
  }

  /** The logouts and reports of the terminal, and the logouts and erasures of its account, whatever their answer. */
  actsOf({ account, uniqueId }: Place): Exchange[] {
    const acts = this.#acts.get(account) ?? [];
    return acts.filter((act) => act.uniqueId === undefined || act.uniqueId === uniqueId);
  }

  /** The logouts of the terminal, and the logouts and erasures of its account, that may have had an effect. */
  removalsOf(place: Place): Exchange[] {
    return this.actsOf(place).filter(({ kind, status, executedAt }) => {
      const isExecuted = this.recording.store ? executedAt !== undefined : status === 204;
      return kind !== 'report' && isExecuted;
    });
  }

  erasuresOf({ account }: Place): Exchange[] {
    return this.removalsOf({ account }).filter(({ kind }) => kind === 'erasure');
  }

  /** Until when a logout or an erasure may take effect. */
  lastEffectOf({ status, endedAt }: Exchange): number {
    return status === 204 ? endedAt : endedAt + this.bounds.lateWriteMs;
  }

  /** The token that a read or a report got. */
  served(exchange: Exchange): IssuedToken | undefined {
    const isRead = exchange.kind === 'read' || exchange.kind === 'report';
    const token = isRead && exchange.status === 200 ? this.issued(exchange.token) : undefined;
    return token && keyOf(token) === keyOf(exchange) ? token : undefined;
  }

  /** The reads that got a token of their terminal, with the login that it comes from. */
  *servedTokens(): Generator<[Exchange, IssuedToken]> {
    for (const exchange of this.exchanges) {
      const token = this.served(exchange);
      if (token) yield [exchange, token];
    }
  }

  // --- logins

  /** The login that issued the token. */
  issued(token: string | undefined): IssuedToken | undefined {
    return token === undefined ? undefined : this.#byToken.get(token);
  }

  /** The logins of each terminal, in the order in which the vendor received them. */
  terminals(): IterableIterator<readonly VendorLogin[]> {
    return this.#ofTerminal.values();
  }

  loginsOf(terminal: Place): readonly VendorLogin[] {
    return this.#ofTerminal.get(keyOf(terminal)) ?? [];
  }

  /** The login of the newest token that the vendor has issued for the terminal. */
  newestToken(terminal: Place, at: number): IssuedToken | undefined {
    let newest: IssuedToken | undefined;
    for (const { token, answeredAt } of this.loginsOf(terminal))
      if (answeredAt <= at && answeredAt > (newest?.answeredAt ?? Number.NEGATIVE_INFINITY))
        newest = this.issued(token) ?? newest;
    return newest;
  }

  get loginBudgetMs(): number {
    return loginBudget(this.bounds.vendorTimeoutMs);
  }

  /** Whether `other` is an attempt without an answer of the same replica, in the same login. */
  isEarlierAttempt(other: VendorLogin, login: VendorLogin): boolean {
    const since = login.receivedAt - this.loginBudgetMs;
    const isEarlier = other.receivedAt > since && other.receivedAt < login.receivedAt;
    return isEarlier && other.replica === login.replica && other.deliveredAt === Number.POSITIVE_INFINITY;
  }

  /**
   * When the vendor received the first attempt of the login. If its replica stood still right before, the login may
   * have begun before that: it has its lease from then.
   */
  beganAt(login: VendorLogin): number {
    const attempts = this.loginsOf(login).filter((other) => this.isEarlierAttempt(other, login));
    const beganAt = Math.min(login.receivedAt, ...attempts.map(({ receivedAt }) => receivedAt));
    const standstill = this.#faults.findLast(
      ({ kind, replica, from }) => STANDS_STILL.has(kind) && replica === login.replica && from <= beganAt,
    );
    return standstill && beganAt < standstill.until + START_MS ? standstill.from - START_MS : beganAt;
  }

  /** Whether the vendor received the first attempt of `one` after it had answered `other`. */
  isSentAfter(one: VendorLogin, other: VendorLogin): boolean {
    return this.beganAt(one) >= other.answeredAt;
  }

  /** Until when a read may give out the token. */
  servableUntil({ receivedAt, expiresAt }: IssuedToken): number {
    return servableUntil({ issuedAt: receivedAt, expiresAt }) + this.bounds.tokenErrorMs;
  }

  // --- the store

  /**
   * The token that the store has had since its last change, as far as the recording shows it.
   * @param isBefore without a change at this very time
   */
  stored(
    terminal: Place,
    at: number,
    isBefore = false,
  ): { readonly token: IssuedToken; readonly write: StoreWrite } | undefined {
    const write = (this.#writes.get(terminal.account) ?? []).findLast(
      (one) =>
        (isBefore ? one.at < at : one.at <= at) &&
        one.kind !== 'accessId' &&
        (one.uniqueId === undefined || one.uniqueId === terminal.uniqueId),
    );
    const token = write && this.issued(write.token);
    return token && this.dataLostAt(at) < write.at ? { token, write } : undefined;
  }

  /** When Redis last came back without data, or with old ones. */
  dataLostAt(at: number): number {
    const isLoss = ({ kind, until }: Fault) => (kind === 'redis-old' || kind === 'redis-empty') && until <= at;
    return this.#disturbing.findLast(isLoss)?.until ?? Number.NEGATIVE_INFINITY;
  }

  // --- faults

  /** Faults that were active at some time between `from` and `until`. Short stalls and the like are none. */
  faultsBetween(from: number, until: number): readonly Fault[] {
    return this.#disturbing.filter((fault) => fault.from <= until && fault.until >= from);
  }

  /** Whether a fault was active that is none of the vendor's. */
  isDisturbed(from: number, until: number): boolean {
    return this.faultsBetween(from, until).some(({ kind }) => kind !== 'vendor');
  }

  /** Whether no fault was active at this time, nor in the settle time before. */
  isQuiet(at: number, settleMs = SETTLE_MS, vendorSettleMs = this.bounds.vendorSettleMs): boolean {
    return this.#disturbing.every(({ kind, from, until }) => {
      return from > at || until < at - (kind === 'vendor' ? vendorSettleMs : settleMs);
    });
  }

  /** Whether a fault kept this replica from Redis at some time between `from` and `until`. */
  isCutOff(replica: number, from: number, until: number): boolean {
    return this.#cutOffsOf(replica).some((fault) => fault.from <= until && fault.until >= from);
  }

  #cutOffsOf(replica: number): readonly Fault[] {
    const known = this.#cutsOff.get(replica);
    if (known) return known;
    const cutOffs = this.#faults.filter((fault) => CUTS_OFF.has(fault.kind) && concerns(fault, replica));
    this.#cutsOff.set(replica, cutOffs);
    return cutOffs;
  }

  /** Whether the replica has started anew, so that it does not know what it knew before. */
  hasRestarted(replica: number, from: number, until: number): boolean {
    return this.happened(FORGETS, replica, from, until);
  }

  stoodStill(replica: number, from: number, until: number): boolean {
    return this.happened(STANDS_STILL, replica, from, until);
  }

  /** Whether a fault of these kinds concerned the replica at some time between `from` and `until`. */
  happened(kinds: Kinds, replica: number, from: number, until: number): boolean {
    return this.#faults.some(
      (fault) => kinds.has(fault.kind) && fault.from <= until && fault.until >= from && concerns(fault, replica),
    );
  }

  /** Whether the replica can reach Redis, and has done so for `ms`. */
  hasContact(replica: number | undefined, at: number, ms: number): boolean {
    if (replica === undefined) return false;
    return !this.isCutOff(replica, at - ms, at) && !this.happened(ENDS, replica, 0, at);
  }

  /**
   * When a bound that begins at `from` begins for this replica: once it can reach Redis. Another fault within the bound
   * begins it anew; a later one does not, because the replica knew by then.
   */
  boundFrom(replica: number, from: number, boundMs: number): number {
    return extended(this.#cutOffsOf(replica), from, boundMs);
  }

  /** As {@link boundFrom}, for what needs all replicas: any fault but the vendor's begins the bound anew. */
  boundFromForAll(from: number, boundMs: number): number {
    const faults = this.#disturbing.filter(({ kind }) => kind !== 'vendor');
    return extended(faults, from, boundMs);
  }

  /** How soon a replica knows of a change that it may not have heard of. */
  announcementBoundMs(from: number, until: number): number {
    const { losesAnnouncements } = this.bounds;
    const hasLostMaster = () => this.faultsBetween(from - 2_000, until).some(({ kind }) => kind === 'cluster-master');
    if (losesAnnouncements === 'after a lost master') return hasLostMaster() ? HIDDEN_MS : BOUND_MS;
    return losesAnnouncements === 'always' ? HIDDEN_MS : BOUND_MS;
  }

  /**
   * Whether the replica of a read had to know of a change that was made at `at`, and that it was not seen to hear of. A
   * replica that missed the announcement learns of the change at its next read with Redis.
   * @param since when the change may have been made first
   */
  hadToKnow(read: Exchange, at: number, since = at): boolean {
    const { replica, sentAt, endedAt } = read;
    const { breakerMs } = this.bounds;
    if (sentAt <= at + BOUND_MS) return false;
    const boundMs = this.announcementBoundMs(since, sentAt);
    const start = this.boundFrom(replica, at, boundMs);
    const knownBy = Math.min(start + boundMs, at + HIDDEN_MS);
    if (sentAt <= knownBy) return false;
    if (!this.isCutOff(replica, sentAt - breakerMs, endedAt)) return true;
    const mayHaveMissed = start > at || boundMs > BOUND_MS || this.hasRestarted(replica, since, sentAt);
    return !mayHaveMissed || this.#hasAsked(read, start + boundMs);
  }

  /** Whether the replica has read the terminal in Redis after a time, and has not forgotten it since. */
  #hasAsked({ replica, account, uniqueId, sentAt }: Exchange, after: number): boolean {
    return this.readsOf({ account, uniqueId }).some(
      (other) =>
        other.replica === replica &&
        other.status === 200 &&
        other.sentAt > after &&
        other.endedAt < sentAt &&
        !this.isCutOff(replica, other.sentAt - this.bounds.breakerMs, other.endedAt) &&
        !this.hasRestarted(replica, other.sentAt, sentAt),
    );
  }

  /** By when a token that the vendor has delivered is in the store, or was lost. */
  storedBy({ deliveredAt, storedAt }: IssuedToken): number {
    return this.recording.store ? storedAt : deliveredAt + STORED_MS;
  }
}

function concerns(fault: Fault, replica: number): boolean {
  return fault.replica === undefined || fault.replica === replica;
}

function extended(faults: readonly Fault[], from: number, boundMs: number): number {
  return faults.reduce((start, fault) => {
    const isWithin = fault.from <= start + boundMs && fault.until >= start - HEARD_MS;
    return isWithin ? Math.max(start, fault.until) : start;
  }, from);
}

function keyOf({ account, uniqueId = '' }: Place): string {
  return `${account}\n${uniqueId}`;
}

export function terminalOf({ account, uniqueId }: VendorLogin): Terminal {
  return { account, uniqueId };
}

export function grouped<T>(values: Iterable<T>, keyOfValue: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const key = keyOfValue(value);
    const group = groups.get(key);
    if (group) group.push(value);
    else groups.set(key, [value]);
  }
  return groups;
}
