import { LRUCache } from 'lru-cache';
import type { Clock } from '../token/clock.ts';
import { type CircuitStatus, ContactHistory, type VendorDomain } from '../token/contact-history.ts';
import type { Log } from '../token/log.ts';
import type { AccountId } from '../token/subject.ts';
import { connectionPlaces } from './client.ts';
import { ruleFor, VendorFault } from './faults.ts';

/** Opens when over 80 % of the last 20 accounts, 10 at least, saw an outage. A few cannot open it for the others. */
const SAMPLE = { accounts: 20, minimumAccounts: 10, threshold: 0.8 };
/** How long the circuit stays open. One trial attempt follows. */
const OPEN_MS = 5_000;
/** Maximum number of accounts whose failed trials are remembered. */
const MAX_FAILED_TRIALS = 100;

/** The circuit breaker of one vendor domain. */
export function circuitBreaker(clock: Clock, onChange: (status: CircuitStatus) => void) {
  /** Whether the last attempt of each account saw an outage. The account with the oldest attempt leaves first. */
  const sample = new LRUCache<AccountId, boolean>({ max: SAMPLE.accounts });
  /** Accounts whose trial failed leave the next one to others as long: one that always fails must not keep it open. */
  const failedTrials = new LRUCache<AccountId, true>({ max: MAX_FAILED_TRIALS });
  /** The account whose trial attempt waits for its turn. Others would take places in the queue for nothing. */
  let waiting: AccountId | undefined;
  let status: CircuitStatus = 'closed';
  /** By the monotonic clock. */
  let openUntil = 0;
  return {
    get status() {
      return status;
    },
    enter,
    throwIfOpen,
    run,
  };

  /**
   * Call it before an attempt waits for its turn: while a trial waits, logins of other accounts are refused.
   * @returns a function that must be called when the attempt has ended, or is not made
   * @throws VendorFault as {@link throwIfOpen}
   */
  function enter(account: AccountId): () => void {
    throwIfOpen(account);
    if (status === 'open') waiting = account;
    return () => {
      if (waiting === account) waiting = undefined;
    };
  }

  /** @throws VendorFault `circuit_open` if {@link run} would not make an attempt of this account now */
  function throwIfOpen(account: AccountId): void {
    const reservedMs = failedTrials.has(account) ? OPEN_MS : 0;
    const leftMs = openUntil + reservedMs - clock.monotonic();
    const isNext = waiting === undefined || waiting === account;
    if (status === 'closed' || (status === 'open' && leftMs <= 0 && isNext)) return;
    throw new VendorFault('circuit_open', { retryAfter: Math.max(1, Math.ceil(leftMs / 1_000)) });
  }

  /** @throws VendorFault `circuit_open` without an attempt; otherwise the error of the attempt */
  async function run<T>(account: AccountId, attempt: () => Promise<T>): Promise<T> {
    throwIfOpen(account);
    const isTrial = status === 'open';
    if (isTrial) change('half-open');
    try {
      const result = await attempt();
      ended(account, isTrial, false);
      return result;
    } catch (error) {
      ended(account, isTrial, !(error instanceof VendorFault) || ruleFor(error).isOutage);
      throw error;
    }
  }

  function ended(account: AccountId, isTrial: boolean, isOutage: boolean): void {
    if (isTrial) {
      if (isOutage) {
        failedTrials.set(account, true);
        open();
      } else close();
      return;
    }
    // The attempt began before the circuit opened.
    if (status !== 'closed') return;
    sample.set(account, isOutage);
    if (isOutage && isDown()) open();
  }

  function isDown(): boolean {
    const { size } = sample;
    const failed = [...sample.values()].filter(Boolean).length;
    return size >= SAMPLE.minimumAccounts && failed > SAMPLE.threshold * size;
  }

  function open(): void {
    openUntil = clock.monotonic() + OPEN_MS;
    change('open');
  }

  function close(): void {
    sample.clear();
    failedTrials.clear();
    change('closed');
  }

  function change(next: CircuitStatus): void {
    status = next;
    onChange(next);
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
  readonly circuit: ReturnType<typeof circuitBreaker>;
  readonly logins: ContactHistory;
  readonly connections: ReturnType<typeof connectionPlaces>;
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
  const circuit = circuitBreaker(clock, (circuitState) => {
    // In an outage, it is half-open and open again every 5 s, which is no news.
    if (circuitState === 'half-open' || circuitState === logged) return;
    logged = circuitState;
    log.warn({ host, circuitState }, 'circuit breaker of a vendor domain changed its state');
  });
  return {
    clock: { offsetMs: 0 },
    circuit,
    logins: new ContactHistory(clock),
    connections: connectionPlaces(clock),
  };
}
