import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import { HEALTH_PATHS } from './health-routes.ts';
import { securityHeaders } from './security-headers.ts';

export interface RequestHooksOptions {
  readonly logger: FastifyBaseLogger;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
}

/** Whether there is a line per request in the log. */
export function logsRequests({ level }: Pick<FastifyBaseLogger, 'level'>): boolean {
  return level === 'debug' || level === 'trace';
}

/** What happens to every request: headers on every answer, refusal while closing, at `debug` a line in the log. */
export async function addRequestHooks(app: FastifyInstance, { logger, closing }: RequestHooksOptions): Promise<void> {
  const headers = await securityHeaders();

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header('x-request-id', request.id);
    const refused = closing() && !HEALTH_PATHS.has(request.routeOptions.url ?? '');
    done(refused ? new BrokerError('shutting_down', { retryAfter: 1 }) : undefined);
  });

  // Also for what was in flight when closing began: a connection left open would be waited for.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing()) reply.header('connection', 'close');
    done(null, payload);
  });

  if (logsRequests(logger)) {
    app.addHook('onResponse', (request, reply, done) => {
      // The route's pattern, never the URL: a query holds the terminal's id.
      const { id: requestId, method, routeOptions } = request;
      const ms = Math.round(reply.elapsedTime);
      const fields = { requestId, method, route: routeOptions.url, status: reply.statusCode, ms };
      request.log.debug(fields, 'request answered');
      done();
    });
  }
}
