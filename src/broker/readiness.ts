import { type Clock, sleep } from '../token/clock.ts';
import type { StoreHealth } from '../token/ports.ts';

/** How often a replica asks a store that has not answered yet. */
const READINESS_INTERVAL_MS = 250;

export interface ReadinessReport {
  readonly ready: boolean;
  /** By dependency: `ok`, or the problem. Contains nothing confidential. */
  readonly checks: Readonly<Record<string, string>>;
}

/**
 * Reports for `GET /readyz` whether this replica should receive requests: as soon as the store has answered once. After
 * that it stays ready without the store. It then serves tokens from memory and logs in within its share of the login
 * budget.
 */
export class Readiness {
  readonly #health: StoreHealth;
  readonly #clock: Clock;
  #stopped = false;
  #hasAnswered = false;

  constructor(health: StoreHealth, clock: Clock) {
    this.#health = health;
    this.#clock = clock;
  }

  /** Checks the store until it has answered once, also without requests for a report. */
  async start(): Promise<void> {
    while (!this.#stopped && !(await this.#ping())) await sleep(this.#clock, READINESS_INTERVAL_MS);
  }

  stop(): void {
    this.#stopped = true;
  }

  async report(): Promise<ReadinessReport> {
    if (await this.#ping()) return { ready: true, checks: { store: 'ok' } };
    const store = this.#hasAnswered ? 'unreachable: serving from memory' : 'unreachable';
    return { ready: this.#hasAnswered, checks: { store } };
  }

  async #ping(): Promise<boolean> {
    const answered = await this.#health.ping().then(
      () => true,
      () => false,
    );
    this.#hasAnswered ||= answered;
    return answered;
  }
}
