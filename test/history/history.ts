/** What happened in a run, as seen from outside. All times are ms since its start, by one monotonic clock. */
export interface History {
  readonly topology: RedisTopology;
  readonly exchanges: readonly Exchange[];
  readonly logins: readonly VendorLogin[];
  readonly faults: readonly Fault[];
}

export const TOPOLOGIES = ['single', 'sentinel', 'cluster'] as const;
export type RedisTopology = (typeof TOPOLOGIES)[number];

/** `VENDOR_MAX_RPS` of the replicas. */
export const LOGINS_PER_SECOND = 50;

/** A terminal of an account. */
export interface Terminal {
  readonly account: string;
  readonly uniqueId: string;
}

/** A request to one replica, and its answer. */
export interface Exchange {
  /** `report`: a read that reports a refused token. `erasure` and `account`: calls of the internal API. */
  readonly kind: 'read' | 'report' | 'logout' | 'erasure' | 'account';
  readonly account: string;
  /** Missing for calls that concern the whole account. */
  readonly uniqueId?: string;
  readonly replica: number;
  /** When the session was issued, as it says: to the second. */
  readonly sessionIssuedAt?: number;
  readonly sentAt: number;
  readonly endedAt: number;
  /** HTTP status; 0: the connection gave no answer. */
  readonly status: number;
  /** Of an error. */
  readonly code?: string;
  readonly token?: string;
  readonly etag?: string;
  /** The token that a report is about. */
  readonly reported?: string;
  /** After all faults and the settle time. */
  readonly isFinal?: boolean;
}

/** A valid login that reached the vendor. */
export interface VendorLogin extends Terminal {
  readonly receivedAt: number;
  /** When it took effect and was answered; `Infinity`: not during this run. */
  readonly answeredAt: number;
  /** It ended every earlier token of the terminal. `undefined`: the login failed. */
  readonly token?: string;
  /** When the vendor no longer takes the token, also without another login. */
  readonly expiresAt?: number;
  /** Whether the caller still listened to the whole answer. */
  readonly isDelivered: boolean;
}

type FaultKind =
  | 'kill'
  | 'terminate'
  | 'freeze'
  | 'clock'
  | 'link'
  | 'redis-stall'
  | 'redis-connections'
  | 'redis-restart'
  | 'redis-old'
  | 'redis-empty'
  | 'failover-planned'
  | 'failover-forced'
  | 'cluster-master'
  | 'busy-machine'
  | 'vendor';

export interface Fault {
  readonly kind: FaultKind;
  /** Missing: it concerns all replicas. */
  readonly replica?: number;
  readonly from: number;
  /** When its cause was gone: the replica or Redis served again, or the Sentinels named the new master. */
  readonly until: number;
  readonly description: string;
  /** Redis came back with its data of this time. */
  readonly dataOf?: number;
  /** How far the replica's clock was ahead. */
  readonly offsetMs?: number;
}

/** Collects the history of a running system. */
export class HistoryRecorder implements History {
  readonly topology: RedisTopology;
  readonly exchanges: Exchange[] = [];
  readonly logins: VendorLogin[] = [];
  readonly faults: Fault[] = [];
  readonly #startedAt = performance.now();

  constructor(topology: RedisTopology) {
    this.topology = topology;
  }

  now(): number {
    return performance.now() - this.#startedAt;
  }

  /** @returns the function that notes the end of the login */
  loginReceived(terminal: Terminal): (ended: Pick<VendorLogin, 'token' | 'expiresAt' | 'isDelivered'>) => void {
    const receivedAt = this.now();
    const index = this.logins.push({
      ...terminal,
      receivedAt,
      answeredAt: Number.POSITIVE_INFINITY,
      isDelivered: false,
    });
    return (ended) => {
      this.logins[index - 1] = { ...terminal, receivedAt, answeredAt: this.now(), ...ended };
    };
  }

  /** Notes a fault that has just ended. */
  faultEnded(fault: Omit<Fault, 'until'>): void {
    this.faults.push({ ...fault, until: this.now() });
  }

  /** @returns the function that notes the end of the fault */
  faultBegan(fault: Omit<Fault, 'from' | 'until'>): () => void {
    const from = this.now();
    const index = this.faults.push({ ...fault, from, until: Number.POSITIVE_INFINITY });
    return () => {
      this.faults[index - 1] = { ...fault, from, until: this.now() };
    };
  }
}
