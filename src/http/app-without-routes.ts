import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import { answerClientError } from './client-error.ts';
import { problemReply } from './problem-reply.ts';
import { parseQueryString } from './query-string.ts';
import { addRequestHooks } from './request-hooks.ts';
import { requestIdOf } from './request-id.ts';
import { SCHEMA_COMPILERS } from './schema-compilers.ts';
import { SERVER_OPTIONS } from './server-options.ts';
import { closeUnusedConnections } from './unused-connections.ts';

export interface AppWithoutRoutesOptions {
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
  /** Named in the challenge of a 401 (RFC 9110 §11.5). */
  readonly realm: string;
  /** Whose `X-Forwarded-*` to believe: addresses and CIDR ranges with commas between, all or none. */
  readonly trustProxy: boolean | string;
  /** Most bytes of a request's body. */
  readonly bodyLimit: number;
  /** Most characters of a path parameter, decoded. */
  readonly maxParamLength?: number;
}

/** What the public and the internal API have in common: limits, headers, problems, an end in good order. */
export async function createAppWithoutRoutes(options: AppWithoutRoutesOptions): Promise<FastifyInstance> {
  const { logger, trustProxy, bodyLimit, realm, maxParamLength } = options;
  const replyWithProblem = problemReply(realm);
  const app = fastify({
    ...SERVER_OPTIONS,
    schemaController: SCHEMA_COMPILERS,
    bodyLimit,
    loggerInstance: logger,
    // A child of its own for each request would cost more than the request: what we log about one names its id.
    childLoggerFactory: (shared) => shared,
    trustProxy,
    genReqId: requestIdOf,
    routerOptions: { querystringParser: parseQueryString, ...(maxParamLength !== undefined && { maxParamLength }) },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, logger),
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id).header('connection', 'close');
      replyWithProblem(error, request, reply);
    },
  });
  // Before what owns routes: a route keeps the handlers it was registered under.
  app.setErrorHandler(replyWithProblem);
  app.setNotFoundHandler((request, reply) => replyWithProblem(new BrokerError('not_found'), request, reply));
  await addRequestHooks(app, options);
  closeUnusedConnections(app);
  return app;
}
