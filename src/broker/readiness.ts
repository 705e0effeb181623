import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreHealth } from '../token/ports.ts';

const LOOK_MS = 250;

export interface ReadinessReport {
  readonly ready: boolean;
  /** By dependency: `ok`, or what is wrong, in words that may be shown to anybody. */
  readonly checks: Readonly<Record<string, string>>;
}

/**
 * Whether this replica should be sent requests: as soon as the store has answered once. From then on it serves what is
 * in memory, and logs in for newcomers within its share of the budget, should the store go away.
 */
export class Readiness {
  readonly #health: StoreHealth;
  readonly #stop = new AbortController();
  #hasAnswered = false;

  constructor(health: StoreHealth) {
    this.#health = health;
  }

  /** Looks until the store has answered once, whether anybody asks for a report or not. */
  async start(): Promise<void> {
    while (!this.#stop.signal.aborted && !(await this.#answers())) {
      await sleep(LOOK_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async report(): Promise<ReadinessReport> {
    if (await this.#answers()) return { ready: true, checks: { store: 'ok' } };
    const store = this.#hasAnswered ? 'unreachable: serving from memory' : 'unreachable';
    return { ready: this.#hasAnswered, checks: { store } };
  }

  async #answers(): Promise<boolean> {
    const answered = await this.#health.ping().then(
      () => true,
      () => false,
    );
    this.#hasAnswered ||= answered;
    return answered;
  }
}
