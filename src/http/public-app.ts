import type { FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import type { Observer } from '../token/observer.ts';
import { callerFinder, requireSession, type SessionGuardOptions } from './credentials.ts';
import { type HealthRoutesOptions, healthRoutes } from './routes/monitoring.ts';
import { docsRoutes } from './routes/pages.ts';
import {
  type SdkTokenRoutesOptions,
  sdkTokenRoutes,
  type TokenReaderOptions,
  tokenReader,
} from './routes/sdk-token.ts';
import { directReads } from './server/direct-reads.ts';
import { type AppContext, logsRequests } from './server/request-hooks.ts';
import { connectionBound, createBaseApp } from './server/server.ts';

export interface PublicAppOptions
  extends AppContext,
    TokenReaderOptions,
    Omit<SdkTokenRoutesOptions, 'tokenFor'>,
    SessionGuardOptions,
    HealthRoutesOptions {
  readonly observer: Pick<Observer, 'rateLimited' | 'readFailed'>;
  /** Whether /docs and /openapi.json are served. */
  readonly apiDocs: boolean;
}

/** In bytes. No request to this API needs a body. */
const BODY_LIMIT = 1_024;
/** Most open connections. Each takes up to 45 KiB while a request with 15 KiB of headers arrives: 180 MiB in all. */
const MAX_CONNECTIONS = 4_096;
/** The rest of the descriptors is for the internal API, Redis, the vendor and the session server. */
const DESCRIPTOR_SHARE = 1 / 2;

/** The public API, ready to `listen()`. While `closing.aborted` is true, it refuses requests and closes connections. */
export async function createPublicApp(options: PublicAppOptions): Promise<FastifyInstance> {
  const callerOf = callerFinder(options);
  const tokenFor = tokenReader(options);
  const direct = directReads({ ...options, callerOf, tokenFor });
  const app = createBaseApp({
    ...options,
    realm: 'sdk-token-broker',
    bodyLimit: BODY_LIMIT,
    maxConnections: connectionBound(MAX_CONNECTIONS, DESCRIPTOR_SHARE),
    // Fastify writes the line of a request.
    take: logsRequests(options.logger) ? undefined : direct.take,
  });
  if (options.apiDocs) await app.register(docsRoutes);
  await app.register(async (guarded) => {
    guarded.addHook('onRequest', (request, _reply, done) => {
      const failure = direct.failures.get(request.raw);
      if (failure?.caller) request.caller = failure.caller;
      done(failure?.error);
    });
    guarded.addHook('onError', (request, _reply, error, done) => {
      // The broker counts all other failed reads. This one has not reached it.
      const isUnchecked = error instanceof BrokerError && error.code === 'session_check_unavailable';
      if (isUnchecked && request.method === 'GET') options.observer.readFailed(error);
      done();
    });
    requireSession(guarded, callerOf);
    await guarded.register(sdkTokenRoutes, { ...options, tokenFor });
  });
  await app.register(healthRoutes, options);
  return app;
}
