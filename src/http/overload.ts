import underPressure from '@fastify/under-pressure';
import type { FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';

/** Mean lag of the event loop over a sample: far beyond what a busy replica shows, so only a stuck one sheds. */
const MAX_EVENT_LOOP_DELAY_MS = 1_000;
const SAMPLE_MS = 1_000;
/** A single hold-up, such as a process that was stopped and has just woken, shows for one sample and is over. */
const MIN_LASTING_MS = 1.5 * SAMPLE_MS;
/** Lag that is seen again within this time has not been over meanwhile, as far as anybody asked. */
const MAX_GAP_MS = 5_000;

/**
 * Refuses the routes of this scope while the event loop cannot keep up. The refusal is `internal`: of the contract's codes
 * the only one that blames neither the caller nor the vendor, and it wakes somebody.
 */
export async function shedWhenOverloaded(app: FastifyInstance): Promise<void> {
  let since = Number.NEGATIVE_INFINITY;
  let seenAt = Number.NEGATIVE_INFINITY;
  await app.register(underPressure, {
    maxEventLoopDelay: MAX_EVENT_LOOP_DELAY_MS,
    sampleInterval: SAMPLE_MS,
    pressureHandler: async () => {
      const now = performance.now();
      if (now - seenAt > MAX_GAP_MS) since = now;
      seenAt = now;
      if (now - since >= MIN_LASTING_MS) throw new Overloaded();
    },
  });
}

class Overloaded extends BrokerError {
  constructor() {
    super('internal', { detail: 'This replica is overloaded at this moment', retryAfter: 1 });
  }
}
