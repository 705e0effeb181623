import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { BrokerError } from '../../token/errors.ts';

const SAMPLE_MS = 1_000;
/**
 * Mean delay of the event loop during a sample. It is far above the delay of a busy replica, so only a stuck one sheds.
 */
const MAX_DELAY_MS = 1_000;
/** A process that was stopped and has just continued shows one such sample, but must not shed. */
const MIN_LASTING_MS = 1.5 * SAMPLE_MS;
/** Two delays that are further apart than this are two incidents. */
const MAX_GAP_MS = 5_000;
/** The interval of the timer that the histogram measures. Its values include it. */
const RESOLUTION_MS = 10;

/** Measures the delay of the event loop until it is closed. Keeps no process alive. */
export class OverloadMonitor {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer = setInterval(() => this.#sample(), SAMPLE_MS).unref();
  #isDelayed = false;
  #delayedAt = Number.NEGATIVE_INFINITY;
  #delayedSince = Number.NEGATIVE_INFINITY;

  constructor() {
    this.#histogram.enable();
  }

  /** Whether the event loop cannot keep up: in the last sample, and for 1.5 s at least. */
  isOverloaded(): boolean {
    return this.#isDelayed && performance.now() - this.#delayedSince >= MIN_LASTING_MS;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #sample(): void {
    const { mean } = this.#histogram;
    this.#histogram.reset();
    // The mean of no values is NaN: the timer of the histogram did not run once, so the loop was stuck.
    this.#isDelayed = !(mean / 1e6 - RESOLUTION_MS <= MAX_DELAY_MS);
    if (!this.#isDelayed) return;
    const now = performance.now();
    if (now - this.#delayedAt > MAX_GAP_MS) this.#delayedSince = now;
    this.#delayedAt = now;
  }
}

/**
 * Refuses the requests to this scope while the replica is overloaded. The error is `internal`: no other code of the
 * contract fits a fault that is neither the caller's nor the vendor's, and this one alerts the operator.
 */
export function shedWhenOverloaded(app: FastifyInstance, monitor: OverloadMonitor): void {
  app.addHook('onRequest', (_request, _reply, done) => {
    const detail = 'This replica is overloaded at this moment';
    done(monitor.isOverloaded() ? new BrokerError('internal', { detail, retryAfter: 1 }) : undefined);
  });
  app.addHook('onClose', async () => monitor.close());
}
