import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleAll,
} from 'cockatiel';
import type { Clock } from '../token/clock.ts';
import { isOutage, VendorFault } from './fault.ts';

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
