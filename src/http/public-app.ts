import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { BrokerError } from '../token/errors.ts';
import { answerClientError } from './client-error.ts';
import { serveDocs } from './docs-routes.ts';
import { type HealthRoutesOptions, healthRoutes } from './health-routes.ts';
import { shedWhenOverloaded } from './overload.ts';
import { replyWithProblem } from './problem-reply.ts';
import { parseQueryString } from './query-string.ts';
import { addRequestHooks } from './request-hooks.ts';
import { requestIdOf } from './request-id.ts';
import { type SdkTokenRouteOptions, sdkTokenRoute } from './sdk-token-route.ts';
import { SERVER_OPTIONS } from './server-options.ts';
import { closeUnusedConnections } from './unused-connections.ts';

export interface PublicAppOptions extends SdkTokenRouteOptions, HealthRoutesOptions {
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Whether /docs and /openapi.json are served. */
  readonly apiDocs: boolean;
  /** Whose `X-Forwarded-*` to believe: addresses and CIDR ranges with commas between, all or none. */
  readonly trustProxy: boolean | string;
  /** The service's. */
  readonly version: string;
}

/** The public API, ready to `listen()`. While `closing()` holds it refuses new requests and lets connections go. */
export async function createPublicApp(options: PublicAppOptions): Promise<FastifyInstance> {
  const { logger, trustProxy } = options;
  const app = fastify({
    ...SERVER_OPTIONS,
    loggerInstance: logger,
    trustProxy,
    genReqId: requestIdOf,
    routerOptions: { querystringParser: parseQueryString },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, logger),
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id).header('connection', 'close');
      replyWithProblem(error, request, reply);
    },
  });
  app.setSerializerCompiler(serializerCompiler);
  // Before what owns routes: a route keeps the handlers it was registered under.
  app.setErrorHandler(replyWithProblem);
  app.setNotFoundHandler((request, reply) => replyWithProblem(new BrokerError('not_found'), request, reply));
  await addRequestHooks(app, options);
  closeUnusedConnections(app);

  if (options.apiDocs) await serveDocs(app, options.version);
  await app.register(async (guarded) => {
    await shedWhenOverloaded(guarded);
    await sdkTokenRoute(guarded, options);
  });
  await app.register(healthRoutes, options);
  return app;
}
