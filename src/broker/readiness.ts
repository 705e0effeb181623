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
 * For `GET /readyz`: whether this replica should get requests, as soon as the store has answered once. Without the
 * store, it then serves tokens from memory and logs in within its share of the login budget.
 */
export function createReadiness(health: StoreHealth, clock: Clock) {
  let isStopped = false;
  let hasAnswered = false;
  return { start, stop, report };

  /** Checks the store until it has answered once, also without requests for a report. */
  async function start(): Promise<void> {
    while (!isStopped && !(await ping())) await sleep(clock, READINESS_INTERVAL_MS);
  }

  function stop(): void {
    isStopped = true;
  }

  async function report(): Promise<ReadinessReport> {
    if (await ping()) return { ready: true, checks: { store: 'ok' } };
    const store = hasAnswered ? 'unreachable: serving from memory' : 'unreachable';
    return { ready: hasAnswered, checks: { store } };
  }

  async function ping(): Promise<boolean> {
    const answered = await health.ping().then(
      () => true,
      () => false,
    );
    hasAnswered ||= answered;
    return answered;
  }
}
