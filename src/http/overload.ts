import underPressure from '@fastify/under-pressure';
import type { FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';

/** Mean lag of the event loop over a second: far beyond what a busy replica shows, so only a stuck one sheds. */
const MAX_EVENT_LOOP_DELAY_MS = 1_000;

/**
 * Refuses the routes of this scope while the event loop cannot keep up. The refusal is `internal`: of the contract's codes
 * the only one that blames neither the caller nor the vendor, and it wakes somebody.
 */
export async function shedWhenOverloaded(app: FastifyInstance): Promise<void> {
  await app.register(underPressure, { maxEventLoopDelay: MAX_EVENT_LOOP_DELAY_MS, customError: Overloaded });
}

class Overloaded extends BrokerError {
  constructor() {
    super('internal', { detail: 'This replica is overloaded at this moment', retryAfter: 1 });
  }
}
