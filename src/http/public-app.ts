import underPressure from '@fastify/under-pressure';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { Clock } from '../token/clock.ts';
import { BrokerError } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import { accountLimit } from './account-limit.ts';
import { docsRoutes } from './routes/docs.ts';
import { type HealthRoutesOptions, healthRoutes } from './routes/health.ts';
import { type SdkTokenRoutesOptions, sdkTokenRoutes } from './routes/sdk-token.ts';
import { RepeatedReads } from './server/hot-reads.ts';
import { logsRequests, securityHeaders } from './server/request-hooks.ts';
import { createBaseApp } from './server/server.ts';

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
async function shedWhenOverloaded(app: FastifyInstance): Promise<void> {
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

export interface PublicAppOptions extends Omit<SdkTokenRoutesOptions, 'limit' | 'repeated'>, HealthRoutesOptions {
  readonly tokens: Pick<TokenBroker, 'read' | 'remembered' | 'mayHandOut' | 'handOut'>;
  /** Requests an account may make of this replica per minute; 0: no limit. */
  readonly readsPerMinute: number;
  readonly observer: Pick<Observer, 'rateLimited' | 'sessionChecked'>;
  readonly clock: Clock;
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Whether /docs and /openapi.json are served. */
  readonly apiDocs: boolean;
  /** Whose `X-Forwarded-*` to believe: addresses and CIDR ranges with commas between, all or none. */
  readonly trustProxy: boolean | string;
}

/** No request of this API has a body. */
const BODY_LIMIT = 1_024;

/** The public API, ready to `listen()`. While `closing()` holds it refuses new requests and lets connections go. */
export async function createPublicApp(options: PublicAppOptions): Promise<FastifyInstance> {
  const { logger, closing, trustProxy } = options;
  const realm = 'sdk-token-broker';
  const app = await createBaseApp({ logger, closing, realm, trustProxy, bodyLimit: BODY_LIMIT });
  if (options.apiDocs) await app.register(docsRoutes);
  await app.register(async (guarded) => {
    await shedWhenOverloaded(guarded);
    const limit = accountLimit(options.readsPerMinute);
    const repeated = new RepeatedReads({ ...options, limit, headers: await securityHeaders() });
    // One that is answered before the app sees it leaves no line in the log.
    if (!logsRequests(logger)) repeated.answerBefore(guarded);
    await sdkTokenRoutes(guarded, { ...options, limit, repeated });
  });
  await app.register(healthRoutes, options);
  return app;
}
