import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { accountLimit } from './account-limit.ts';
import { type ForwardedSession, sessionSource } from './credentials.ts';
import { docsRoutes } from './routes/docs.ts';
import { type HealthRoutesOptions, healthRoutes } from './routes/health.ts';
import { type SdkTokenRoutesOptions, sdkTokenRoutes } from './routes/sdk-token.ts';
import { connectionBound } from './server/connections.ts';
import { createBaseApp, OverloadMonitor, shedWhenOverloaded } from './server/server.ts';

export interface PublicAppOptions extends Omit<SdkTokenRoutesOptions, 'limit' | 'sessionSource'>, HealthRoutesOptions {
  /** Without it, the session is a bearer token. */
  readonly forwardedSession: ForwardedSession | undefined;
  /** Requests per account and minute to this replica; 0: no limit. */
  readonly readsPerMinute: number;
  /** Most accounts whose requests are counted in memory. */
  readonly countedAccounts: number;
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Whether /docs and /openapi.json are served. */
  readonly apiDocs: boolean;
}

/** In bytes. No request to this API needs a body. */
const BODY_LIMIT = 1_024;
/** Most open connections. Each takes up to 45 KiB while a request with 15 KiB of headers is arriving: 180 MiB in all. */
const MAX_CONNECTIONS = 4_096;
/** The rest of the descriptors is for the internal API, Redis, the vendor and the session server. */
const DESCRIPTOR_SHARE = 1 / 2;

/** The public API, ready to `listen()`. While `closing.aborted` is true, it refuses requests and closes connections. */
export async function createPublicApp(options: PublicAppOptions): Promise<FastifyInstance> {
  const { logger, closing } = options;
  const overload = new OverloadMonitor();
  const limit = accountLimit(options.readsPerMinute, options.countedAccounts);
  const sessions = { ...options, limit, sessionSource: sessionSource(options.forwardedSession) };
  const app = await createBaseApp({
    logger,
    closing,
    realm: 'sdk-token-broker',
    bodyLimit: BODY_LIMIT,
    maxConnections: connectionBound(MAX_CONNECTIONS, DESCRIPTOR_SHARE),
  });
  if (options.apiDocs) await app.register(docsRoutes);
  await app.register(async (guarded) => {
    shedWhenOverloaded(guarded, overload);
    await sdkTokenRoutes(guarded, sessions);
  });
  await app.register(healthRoutes, options);
  return app;
}
