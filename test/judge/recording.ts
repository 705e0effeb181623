/**
 * What happened in a run, as seen from outside: no code under test assigns any of it. All times are ms since the start
 * of the run, by one monotonic clock.
 */
export interface Recording {
  readonly bounds: Bounds;
  /** Replicas have the numbers from 0 on. In virtual time, one that starts anew has a new number. */
  readonly replicas: number;
  readonly exchanges: readonly Exchange[];
  readonly logins: readonly VendorLogin[];
  readonly faults: readonly Fault[];
  /** Missing: the run does not see inside the store. */
  readonly store?: StoreRecording | undefined;
}

/** What a run allows. Virtual time allows tighter bounds than real processes. */
export interface Bounds {
  /** `replace`: a login ends the former token of its terminal at the vendor. */
  readonly vendorMode: 'overlap' | 'replace';
  readonly vendorTimeoutMs: number;
  readonly loginsPerSecond: number;
  /** How many more logins a terminal may cause in 10 s while the vendor fails. */
  readonly loginsOfFailures: number;
  /** How long after a fault of the vendor no failure is excused by it. */
  readonly vendorSettleMs: number;
  /** Largest difference between the clocks of two replicas without a fault of a clock. */
  readonly clockErrorMs: number;
  /** Largest error of the times of a token, which a replica computes from the vendor's clock. */
  readonly tokenErrorMs: number;
  /** A session says its time of issue in steps of this length. */
  readonly sessionStepMs: number;
  /** A session seems as old as an erasure until this long after it. */
  readonly sameTimeMs: number;
  /** An answer this much later than a logout was not on its way when the replica heard of the logout. */
  readonly onItsWayMs: number;
  /** Messages of a login may be under way for this long. */
  readonly messageMs: number;
  /** A write that was answered with an error has no effect later than this. */
  readonly lateWriteMs: number;
  /** After a timeout of Redis, a replica does not ask it for this long. */
  readonly breakerMs: number;
  /** Replicas repeat the logouts and erasures that an old Redis has lost within this time. */
  readonly healMs: number;
  /** Replicas have written back the tokens that Redis has lost within this time. */
  readonly tokensHealMs: number;
  /** Whether an announcement may be lost while no replica notices: always, or after the master of a cluster was lost. */
  readonly losesAnnouncements: 'never' | 'always' | 'after a lost master';
  readonly longestReadMs: number;
  /** The same while all is quiet. */
  readonly longestQuietReadMs: number;
  /** Whether an answer arrives at the time at which the replica sends it. */
  readonly answersArriveAtOnce: boolean;
}

/** A terminal of an account. */
export interface Terminal {
  readonly account: string;
  readonly uniqueId: string;
}

/** A request to one replica, and its answer. */
export interface Exchange {
  /**
   * `report`: a read that reports a refused token. `logout`: by the app, or by an operator. `accountLogout`, `erasure`,
   * `account` and `accessId`: calls of the internal API.
   */
  readonly kind: 'read' | 'report' | 'logout' | 'accountLogout' | 'erasure' | 'account' | 'accessId';
  readonly account: string;
  /** Missing for calls that concern the whole account. */
  readonly uniqueId?: string;
  readonly replica: number;
  /** When the session was issued, as it says. */
  readonly sessionIssuedAt?: number;
  /** Which session it is. Missing: the customer cloud never ends it. */
  readonly session?: string;
  /** The sessions that the customer cloud had ended before it sent this logout. */
  readonly endedSessions?: readonly string[];
  readonly sentAt: number;
  /** `Infinity`: not during this run. */
  endedAt: number;
  /** HTTP status; 0: no answer. */
  status: number;
  /** Of an error. */
  code?: string;
  token?: string;
  etag?: string;
  /** The token that a report is about. */
  readonly reported?: string;
  /** After all faults and the settle time. */
  readonly isFinal?: boolean;
  /** Whether the store finds the account of an accessId that was handed out. */
  isFound?: boolean;
  /** When the store executed a logout or an erasure, and when each replica was told of it. */
  executedAt?: number;
  heardAt?: ReadonlyMap<number, number>;
}

/** A valid login that reached the vendor. */
export interface VendorLogin extends Terminal {
  /** The replica that sent it; missing: the vendor cannot tell. */
  readonly replica?: number;
  readonly receivedAt: number;
  /** When it took effect and was answered; `Infinity`: not during this run. */
  answeredAt: number;
  /** When the replica had the whole answer with the token; `Infinity`: it no longer listened, or there is no token. */
  deliveredAt: number;
  /** `undefined`: the login failed. */
  token?: string;
  /** When the vendor no longer takes the token, also without another login. */
  expiresAt?: number;
  /** Whether the store had an accessId of the account, so that no login for it was needed. */
  hadAccessId?: boolean;
}

/** What the server of the store did. */
export interface StoreRecording {
  readonly writes: StoreWrite[];
  /** Looks at the tokens in the store. */
  readonly looks: (Terminal & { readonly at: number; readonly token: string })[];
  /** How many tokens there were, and how many due times. */
  readonly counts: { readonly at: number; readonly tokens: number; readonly dueTimes: number }[];
  /** What was left of replicas that had to stop. */
  readonly remains: { readonly at: number; readonly what: string }[];
}

export interface StoreWrite {
  readonly at: number;
  readonly replica: number;
  readonly kind: 'saved' | 'removed' | 'accessId';
  readonly account: string;
  /** Missing: an erasure, or a logout of the whole account. */
  readonly uniqueId?: string | undefined;
  readonly token?: string | undefined;
  /** When each replica was told of it. */
  readonly heardAt: ReadonlyMap<number, number>;
}

type FaultKind =
  | 'kill'
  | 'terminate'
  | 'freeze'
  | 'clock'
  | 'link'
  /** A message of a replica to or from Redis was lost. */
  | 'lost-message'
  | 'redis-stall'
  | 'redis-connections'
  | 'redis-restart'
  | 'redis-old'
  | 'redis-empty'
  | 'failover-planned'
  | 'failover-forced'
  | 'cluster-master'
  | 'busy-machine'
  | 'vendor'
  // These may disturb nobody.
  /** A replica stood still for less than a lease. */
  | 'short-stall'
  /** A new replica. */
  | 'start'
  /** A replica has ended as in a rolling update. */
  | 'replaced'
  /** Redis did not answer a replica. The fault that caused it is recorded beside it. */
  | 'unanswered';

export interface Fault {
  readonly kind: FaultKind;
  /** Missing: it concerns all replicas. */
  readonly replica?: number | undefined;
  readonly from: number;
  /** When its cause was gone: the replica or Redis served again, or the Sentinels named the new master. */
  until: number;
  readonly description: string;
  /** Redis came back with its data of this time. */
  readonly dataOf?: number;
  /** How far the replica's clock was ahead. */
  readonly offsetMs?: number;
}

/** Collects the facts of a run. */
export class Recorder implements Recording {
  readonly bounds: Bounds;
  readonly exchanges: Exchange[] = [];
  readonly logins: VendorLogin[] = [];
  readonly faults: Fault[] = [];
  readonly store: StoreRecording | undefined;
  readonly now: () => number;
  replicas = 0;

  /** @param now ms since the start of the run */
  constructor(bounds: Bounds, now: () => number, seesStore: boolean) {
    this.bounds = bounds;
    this.now = now;
    if (seesStore) this.store = { writes: [], looks: [], counts: [], remains: [] };
  }

  /** Notes a request that is sent now. Its answer is added by {@link ended}. */
  sent(about: Omit<Exchange, 'sentAt' | 'endedAt' | 'status'>): Exchange {
    const exchange = { ...about, sentAt: this.now(), endedAt: Number.POSITIVE_INFINITY, status: 0 };
    this.exchanges.push(exchange);
    return exchange;
  }

  ended(exchange: Exchange, answer: Partial<Exchange>): void {
    Object.assign(exchange, { endedAt: this.now(), ...answer });
  }

  loginReceived(about: Omit<VendorLogin, 'receivedAt' | 'answeredAt' | 'deliveredAt'>): VendorLogin {
    const open = { answeredAt: Number.POSITIVE_INFINITY, deliveredAt: Number.POSITIVE_INFINITY };
    const login = { ...about, receivedAt: this.now(), ...open };
    this.logins.push(login);
    return login;
  }

  /** Notes a fault that lasts `ms` from now, or until {@link Fault.until} is set. */
  fault(fault: Omit<Fault, 'from' | 'until'>, ms = 0): Fault {
    const from = this.now();
    const noted = { ...fault, from, until: from + ms };
    this.faults.push(noted);
    return noted;
  }
}
