import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { createAppWithoutRoutes } from './app-without-routes.ts';
import { serveDocs } from './docs-routes.ts';
import { type HealthRoutesOptions, healthRoutes } from './health-routes.ts';
import { shedWhenOverloaded } from './overload.ts';
import { type SdkTokenRoutesOptions, sdkTokenRoutes } from './sdk-token-routes.ts';

export interface PublicAppOptions extends SdkTokenRoutesOptions, HealthRoutesOptions {
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
  const app = await createAppWithoutRoutes({ logger, closing, realm, trustProxy, bodyLimit: BODY_LIMIT });
  if (options.apiDocs) await serveDocs(app, options.version);
  await app.register(async (guarded) => {
    await shedWhenOverloaded(guarded);
    await sdkTokenRoutes(guarded, options);
  });
  await app.register(healthRoutes, options);
  return app;
}
