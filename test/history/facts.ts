import type { Exchange, Fault, History, Terminal, VendorLogin } from './history.ts';

/**
 * Within this time, another replica knows of a logout, an erasure or a newer token, if nothing is broken. 5 s are
 * published.
 */
export const BOUND_MS = 6_000;
/** An answer this much later than a logout was not on its way when the logout was answered. */
export const ON_ITS_WAY_MS = 1_000;
/** This long after a fault, all is as if it had not been. */
export const SETTLE_MS = 20_000;

/** A successful login, or a token's whole life: it lives from `answeredAt` until it expires or the next login. */
export interface IssuedToken extends VendorLogin {
  readonly token: string;
  readonly expiresAt: number;
  /** The login that ended it; `undefined`: none. */
  readonly endedBy: IssuedToken | undefined;
}

/** A logout or an erasure that was answered 204. */
export type Removal = Exchange & { readonly kind: 'logout' | 'erasure'; readonly status: 204 };

/** Faults after which a replica may not hear or reach its Redis. On a busy machine, Redis answers too late. */
const CUTS_OFF: ReadonlySet<Fault['kind']> = new Set([
  'busy-machine',
  'freeze',
  'link',
  'redis-stall',
  'redis-connections',
  'redis-restart',
  'redis-old',
  'redis-empty',
  'failover-planned',
  'failover-forced',
  'cluster-master',
]);

/** A history, prepared for the questions of the judge. */
export class Facts {
  readonly history: History;
  /** In order of their end. */
  readonly exchanges: readonly Exchange[];
  /** In order of their beginning. */
  readonly faults: readonly Fault[];
  readonly #byAccount = new Map<string, Exchange[]>();
  readonly #byToken = new Map<string, IssuedToken>();
  readonly #ofTerminal = new Map<string, VendorLogin[]>();

  constructor(history: History) {
    this.history = history;
    this.exchanges = history.exchanges.toSorted((one, other) => one.endedAt - other.endedAt);
    this.faults = history.faults.toSorted((one, other) => one.from - other.from);
    for (const exchange of this.exchanges) {
      if (exchange.kind === 'read' || exchange.kind === 'account') continue;
      const ofAccount = this.#byAccount.get(exchange.account) ?? [];
      ofAccount.push(exchange);
      this.#byAccount.set(exchange.account, ofAccount);
    }
    const latest = new Map<string, IssuedToken>();
    // From the last one to the first: each token is ended by the one after it.
    for (const login of history.logins.toSorted((one, other) => other.answeredAt - one.answeredAt)) {
      const key = keyOf(login);
      const ofTerminal = this.#ofTerminal.get(key) ?? [];
      ofTerminal.push(login);
      this.#ofTerminal.set(key, ofTerminal);
      const { token, expiresAt } = login;
      if (token === undefined || expiresAt === undefined) continue;
      const issued = { ...login, token, expiresAt, endedBy: latest.get(key) };
      this.#byToken.set(token, issued);
      latest.set(key, issued);
    }
  }

  /** The login that issued the token. */
  issued(token: string | undefined): IssuedToken | undefined {
    return token === undefined ? undefined : this.#byToken.get(token);
  }

  /** The logouts, erasures and reports of an account, in order of their answers. */
  actsOf({ account }: { readonly account: string }): readonly Exchange[] {
    return this.#byAccount.get(account) ?? [];
  }

  /** The logins of each terminal. */
  terminals(): IterableIterator<readonly VendorLogin[]> {
    return this.#ofTerminal.values();
  }

  /** The logins of one terminal. */
  loginsOf({ account, uniqueId = '' }: { readonly account: string; readonly uniqueId?: string | undefined }) {
    return this.#ofTerminal.get(keyOf({ account, uniqueId })) ?? [];
  }

  /** The token that a read or a report got. */
  served(exchange: Exchange): IssuedToken | undefined {
    const isRead = exchange.kind === 'read' || exchange.kind === 'report';
    return isRead && exchange.status === 200 ? this.issued(exchange.token) : undefined;
  }

  /** The reads that got a token, with the login that it comes from. */
  *servedTokens(): Generator<[Exchange, IssuedToken]> {
    for (const exchange of this.exchanges) {
      const token = this.served(exchange);
      if (token) yield [exchange, token];
    }
  }

  reads(): Exchange[] {
    return this.exchanges.filter(({ kind }) => kind === 'read' || kind === 'report');
  }

  /** The logouts of the terminal and the erasures of its account that were answered 204. */
  removalsOf({ account, uniqueId }: { readonly account: string; readonly uniqueId?: string | undefined }): Removal[] {
    return this.actsOf({ account }).filter(
      (exchange): exchange is Removal =>
        exchange.status === 204 &&
        (exchange.kind === 'erasure' || (exchange.kind === 'logout' && exchange.uniqueId === uniqueId)),
    );
  }

  /** Faults that were active at some time between `from` and `until`. */
  faultsBetween(from: number, until: number): readonly Fault[] {
    return this.faults.filter((fault) => fault.from <= until && fault.until >= from);
  }

  /** Whether no fault was active in this time, nor in the settle time before. */
  isQuiet(from: number, until: number): boolean {
    return this.faultsBetween(from - SETTLE_MS, until).length === 0;
  }

  /** Faults that kept this replica from Redis at some time between `from` and `until`. */
  cutOffs(replica: number, from: number, until: number): readonly Fault[] {
    return this.faultsBetween(from, until).filter((fault) => cutsOff(fault, replica));
  }

  /**
   * When a bound that begins at `from` begins for this replica: once it can reach Redis. Another fault within the bound
   * begins it anew; a later one does not, because the replica knew by then.
   */
  boundFrom(replica: number, from: number, boundMs: number): number {
    return extended(
      this.faults.filter((fault) => cutsOff(fault, replica)),
      from,
      boundMs,
    );
  }

  /** As {@link boundFrom}, for what needs all replicas: any fault but the vendor's begins the bound anew. */
  boundFromForAll(from: number, boundMs: number): number {
    return extended(
      this.faults.filter(({ kind }) => kind !== 'vendor'),
      from,
      boundMs,
    );
  }
}

function extended(faults: readonly Fault[], from: number, boundMs: number): number {
  return faults.reduce((start, fault) => {
    const isWithin = fault.from <= start + boundMs && fault.until >= start - HEARD_MS;
    return isWithin ? Math.max(start, fault.until) : start;
  }, from);
}

/** An announcement arrives within this time, if nothing is broken. A fault that ends earlier keeps none back. */
const HEARD_MS = 1_000;

function cutsOff(fault: Fault, replica: number): boolean {
  return CUTS_OFF.has(fault.kind) && (fault.replica === undefined || fault.replica === replica);
}

function keyOf({ account, uniqueId }: Terminal): string {
  return JSON.stringify([account, uniqueId]);
}
