import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import { type CircuitStatus, ContactHistory, type VendorDomain } from '../token/contact-history.ts';
import type { Log } from '../token/log.ts';
import type { AccountId } from '../token/subject.ts';
import { ConnectionPlaces } from './client.ts';
import { ruleFor, VendorFault } from './faults.ts';

/** Opens when over 80 % of the last 20 accounts, 10 at least, saw an outage. A few cannot open it for the others. */
const SAMPLE = { accounts: 20, minimumAccounts: 10, threshold: 0.8 };
/** How long the circuit stays open. One trial attempt follows. */
const OPEN_MS = 5_000;
/** Maximum number of accounts whose failed trials are remembered. */
const MAX_FAILED_TRIALS = 100;

/** The circuit breaker of one vendor domain. */
export class CircuitBreaker {
  readonly #clock: Clock;
  readonly #onChange: (status: CircuitStatus) => void;
  /** Whether the last attempt of each account saw an outage. The account with the oldest attempt leaves first. */
  readonly #sample = new LRUCache<AccountId, boolean>({ max: SAMPLE.accounts });
  /** Accounts whose trial failed leave the next one to others as long: one that always fails must not keep it open. */
  readonly #failedTrials = new LRUCache<AccountId, true>({ max: MAX_FAILED_TRIALS });
  /** The account whose trial attempt waits for its turn. Others would take places in the queue for nothing. */
  #waiting: AccountId | undefined;
  #status: CircuitStatus = 'closed';
  /** By the monotonic clock. */
  #openUntil = 0;

  /** @param onChange is called at each change of the status; the first status is `closed` */
  constructor(clock: Clock, onChange: (status: CircuitStatus) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get status(): CircuitStatus {
    return this.#status;
  }

  /**
   * Call it before an attempt waits for its turn: while a trial waits, logins of other accounts are refused.
   * @returns a function that must be called when the attempt has ended, or is not made
   * @throws VendorFault as {@link throwIfOpen}
   */
  enter(account: AccountId): () => void {
    this.throwIfOpen(account);
    if (this.#status === 'open') this.#waiting = account;
    return () => {
      if (this.#waiting === account) this.#waiting = undefined;
    };
  }

  /** @throws VendorFault `circuit_open` if {@link run} would not make an attempt of this account now */
  throwIfOpen(account: AccountId): void {
    const reservedMs = this.#failedTrials.has(account) ? OPEN_MS : 0;
    const leftMs = this.#openUntil + reservedMs - this.#clock.monotonic();
    const isNext = this.#waiting === undefined || this.#waiting === account;
    if (this.#status === 'closed' || (this.#status === 'open' && leftMs <= 0 && isNext)) return;
    throw new VendorFault('circuit_open', { retryAfter: Math.max(1, Math.ceil(leftMs / 1_000)) });
  }

  /** @throws VendorFault `circuit_open` without an attempt; otherwise the error of the attempt */
  async run<T>(account: AccountId, attempt: () => Promise<T>): Promise<T> {
    this.throwIfOpen(account);
    const isTrial = this.#status === 'open';
    if (isTrial) this.#change('half-open');
    try {
      const result = await attempt();
      this.#ended(account, isTrial, false);
      return result;
    } catch (error) {
      this.#ended(account, isTrial, !(error instanceof VendorFault) || ruleFor(error).isOutage);
      throw error;
    }
  }

  #ended(account: AccountId, isTrial: boolean, isOutage: boolean): void {
    if (isTrial) {
      if (isOutage) {
        this.#failedTrials.set(account, true);
        this.#open();
      } else this.#close();
      return;
    }
    // The attempt began before the circuit opened.
    if (this.#status !== 'closed') return;
    this.#sample.set(account, isOutage);
    if (isOutage && this.#isDown()) this.#open();
  }

  #isDown(): boolean {
    const { size } = this.#sample;
    const failed = [...this.#sample.values()].filter(Boolean).length;
    return size >= SAMPLE.minimumAccounts && failed > SAMPLE.threshold * size;
  }

  #open(): void {
    this.#openUntil = this.#clock.monotonic() + OPEN_MS;
    this.#change('open');
  }

  #close(): void {
    this.#sample.clear();
    this.#failedTrials.clear();
    this.#change('closed');
  }

  #change(status: CircuitStatus): void {
    this.#status = status;
    this.#onChange(status);
  }
}

export interface DomainsOptions {
  readonly baseUrl: URL;
  /** Other domains by country (ISO 3166-1 alpha-2). */
  readonly regionUrls: ReadonlyMap<string, URL>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Domain {
  readonly url: URL;
  /** The vendor's clock minus the broker's clock, as the last answer with a `Date` header showed it; 0 before. */
  readonly clock: { offsetMs: number };
  readonly circuit: CircuitBreaker;
  readonly logins: ContactHistory;
  readonly connections: ConnectionPlaces;
}

/** The state of one origin. All URLs with this origin share it. */
type OriginState = Omit<Domain, 'url'>;

export function vendorDomains(options: DomainsOptions) {
  const origins = new Map<string, OriginState>();
  const domainAt = (url: URL): Domain => {
    const state = origins.get(url.origin) ?? newOriginState(url, options);
    origins.set(url.origin, state);
    return { url, ...state };
  };
  const defaultDomain = domainAt(options.baseUrl);
  const byRegion = new Map([...options.regionUrls].map(([region, url]) => [region, domainAt(url)]));
  return {
    /** The domain where accounts of the country log in. */
    forRegion: (region: string): Domain => byRegion.get(region) ?? defaultDomain,

    /** The state of each domain, the default one first. */
    report: (): readonly VendorDomain[] =>
      [...origins].map(([origin, { circuit, clock, logins }]) => ({
        host: new URL(origin).host,
        circuit: circuit.status,
        clockOffsetMs: clock.offsetMs,
        ...logins,
      })),
  };
}

function newOriginState({ host }: URL, { clock, log }: DomainsOptions): OriginState {
  let logged: CircuitStatus | undefined;
  const circuit = new CircuitBreaker(clock, (circuitState) => {
    // In an outage, it is half-open and open again every 5 s, which is no news.
    if (circuitState === 'half-open' || circuitState === logged) return;
    logged = circuitState;
    log.warn({ host, circuitState }, 'circuit breaker of a vendor domain changed its state');
  });
  return {
    clock: { offsetMs: 0 },
    circuit,
    logins: new ContactHistory(clock),
    connections: new ConnectionPlaces(clock),
  };
}
