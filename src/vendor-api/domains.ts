import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleAll,
} from 'cockatiel';
import type { Clock } from '../token/clock.ts';
import type { Log } from '../token/log.ts';
import type { Observer } from '../token/observer.ts';
import { isOutage, VendorFault } from './faults.ts';

/** Of the last so many attempts nearly all must have failed, and there must have been enough of them to tell. */
const SAMPLE = { size: 20, minimumNumberOfCalls: 10, threshold: 0.8 };
/** How long nothing is sent once it is open; then one attempt finds out. */
const OPEN_MS = 5_000;

export type CircuitStatus = 'closed' | 'half-open' | 'open';

/** Spares a vendor domain that is down: when most attempts fail, none is made for a while. */
export class Circuit {
  readonly #policy: CircuitBreakerPolicy;
  readonly #clock: Clock;
  #openUntil = 0;

  /** @param onChange hears of every change but the first state, closed */
  constructor(clock: Clock, onChange: (status: CircuitStatus) => void) {
    this.#clock = clock;
    this.#policy = circuitBreaker(handleAll, { halfOpenAfter: OPEN_MS, breaker: new CountBreaker(SAMPLE) });
    this.#policy.onStateChange((state) => {
      if (state === CircuitState.Open) this.#openUntil = clock.now() + OPEN_MS;
      onChange(statusOf(state));
    });
  }

  get status(): CircuitStatus {
    return statusOf(this.#policy.state);
  }

  /** @throws VendorFault `circuit_open` where {@link run} would make no attempt at this moment */
  admit(): void {
    const { status } = this;
    // While one attempt finds out, the others are not kept waiting for it.
    if (status === 'half-open' || (status === 'open' && this.#clock.now() < this.#openUntil)) throw this.#refusal();
  }

  /** @throws VendorFault `circuit_open` without an attempt, else what the attempt throws */
  async run<T>(attempt: () => Promise<T>): Promise<T> {
    this.admit();
    try {
      const answer = await this.#policy.execute(() => answerOf(attempt));
      return answer();
    } catch (error) {
      throw error instanceof BrokenCircuitError ? this.#refusal() : error;
    }
  }

  #refusal(): VendorFault {
    const leftMs = this.#openUntil - this.#clock.now();
    return new VendorFault('circuit_open', { retryAfter: Math.max(1, Math.ceil(leftMs / 1_000)) });
  }
}

/**
 * What the attempt came to, as a value. A definite no is an answer, so the vendor is well: the library would not count
 * such an error, and one in a half-open circuit would close it without forgetting what failed before.
 */
async function answerOf<T>(attempt: () => Promise<T>): Promise<() => T> {
  try {
    const value = await attempt();
    return () => value;
  } catch (error) {
    if (!(error instanceof VendorFault) || isOutage(error.kind)) throw error;
    return () => {
      throw error;
    };
  }
}

function statusOf(state: CircuitState): CircuitStatus {
  if (state === CircuitState.HalfOpen) return 'half-open';
  return state === CircuitState.Closed ? 'closed' : 'open';
}

/** Below this the `Date` header, which counts whole seconds, proves nothing. */
const NEGLIGIBLE_MS = 2000;

const WARN_MS = 30_000;
const ERROR_MS = 120_000;

export interface DateObservation {
  /** The answer's `Date`, epoch ms on the vendor's clock. */
  readonly vendorDate: number;
  /** Epoch ms, our clock. */
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** How far one vendor domain's clock is ahead of ours, learnt from its answers. */
export class ClockOffset {
  readonly #report: (level: 'warn' | 'error', offsetMs: number) => void;
  #ms = 0;
  #reported: 'warn' | 'error' | undefined;

  /** @param report hears once of an offset above 30 s (warn) and above 120 s (error) */
  constructor(report: (level: 'warn' | 'error', offsetMs: number) => void) {
    this.#report = report;
  }

  /** The vendor's clock minus ours; 0 unless they are known to differ. */
  get ms(): number {
    return this.#ms;
  }

  /** Learns from an answer. What may be the slowness of the answer itself is not taken for an offset. */
  observe({ vendorDate, sentAt, receivedAt }: DateObservation): void {
    const halfTrip = (receivedAt - sentAt) / 2;
    // `Date` was cut to the second: on average it is half a second short.
    const offset = Math.round(vendorDate + 500 - (sentAt + halfTrip));
    this.#ms = Math.abs(offset) > NEGLIGIBLE_MS + halfTrip ? offset : 0;
    const level = levelOf(Math.abs(this.#ms));
    if (level && level !== this.#reported) this.#report(level, this.#ms);
    this.#reported = level;
  }
}

function levelOf(ms: number): 'warn' | 'error' | undefined {
  if (ms > ERROR_MS) return 'error';
  return ms > WARN_MS ? 'warn' : undefined;
}

export interface DomainsOptions {
  readonly baseUrl: URL;
  /** Other domains by country. */
  readonly regionUrls: ReadonlyMap<string, URL>;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: Observer;
}

/** What is known of a server of the vendor's. */
interface Server {
  readonly offset: ClockOffset;
  readonly circuit: Circuit;
}

export interface Domain extends Server {
  readonly url: URL;
}

/** The vendor's domains. Countries on the same origin share one server's clock and circuit. */
export class Domains {
  readonly #home: Domain;
  readonly #abroad: ReadonlyMap<string, Domain>;

  constructor(options: DomainsOptions) {
    const servers = new Map<string, Server>();
    const domainAt = (url: URL): Domain => {
      const server = servers.get(url.origin) ?? newServer(url, options);
      servers.set(url.origin, server);
      return { url, ...server };
    };
    this.#home = domainAt(options.baseUrl);
    this.#abroad = new Map([...options.regionUrls].map(([region, url]) => [region, domainAt(url)]));
  }

  /** Where accounts of the country log in. */
  of(region: string): Domain {
    return this.#abroad.get(region) ?? this.#home;
  }
}

function newServer({ host }: URL, { clock, log, observer }: DomainsOptions): Server {
  const circuit = new Circuit(clock, (circuitState) => {
    observer.circuitChanged(host, circuitState);
    log.warn({ host, circuitState }, 'vendor’s circuit has changed');
  });
  observer.circuitChanged(host, circuit.status);
  const offset = new ClockOffset((level, offsetMs) => {
    log[level]({ host, offsetMs }, 'vendor’s clock and ours differ: signatures follow the vendor’s; check this host’s');
  });
  return { offset, circuit };
}
