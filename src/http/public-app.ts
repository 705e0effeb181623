import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { TokenBroker } from '../broker/token-broker.ts';
import type { Clock } from '../token/clock.ts';
import type { Observer } from '../token/observer.ts';
import { accountLimit } from './account-limit.ts';
import { createAppWithoutRoutes } from './app-without-routes.ts';
import { serveDocs } from './docs-routes.ts';
import { type HealthRoutesOptions, healthRoutes } from './health-routes.ts';
import { shedWhenOverloaded } from './overload.ts';
import { RepeatedReads } from './repeated-reads.ts';
import { logsRequests } from './request-hooks.ts';
import { type SdkTokenRoutesOptions, sdkTokenRoutes } from './sdk-token-routes.ts';
import { securityHeaders } from './security-headers.ts';

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
  /** The service's. */
  readonly version: string;
}

/** No request of this API has a body. */
const BODY_LIMIT = 1_024;

/** The public API, ready to `listen()`. While `closing()` holds it refuses new requests and lets connections go. */
export async function createPublicApp(options: PublicAppOptions): Promise<FastifyInstance> {
  const { logger, closing, trustProxy } = options;
  const realm = 'sdk-token-broker';
  const common = { logger, closing, realm, trustProxy, bodyLimit: BODY_LIMIT };
  const app = await createAppWithoutRoutes(common);
  if (options.apiDocs) await serveDocs(app, options.version, common);
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
