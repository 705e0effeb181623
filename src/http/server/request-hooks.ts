import type { IncomingMessage } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { BrokerError, type ErrorCode } from '../../token/errors.ts';
import type { RequestTracer } from '../../token/tracer.ts';
import { SECURITY_HEADERS } from './answer-headers.ts';
import { hasBody, mayArriveLate } from './request-bodies.ts';

/** These routes answer until the process ends. */
const HEALTH_PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz']);

/** After shutdown has begun, requests are served for this long: proxies learn late that a replica ends. */
const SERVED_MS = 2_000;

/** Whether the log has a line for each request. */
export function logsRequests({ level }: Pick<FastifyBaseLogger, 'level'>): boolean {
  return level === 'debug' || level === 'trace';
}

/** Tells the span of each request its route. */
function addTracing(app: FastifyInstance, tracer: RequestTracer): void {
  app.addHook('onRequest', ({ method, routeOptions }, _reply, done) => {
    tracer.matched(method, routeOptions.url);
    done();
  });
  app.addHook('preValidation', (request, _reply, done) => tracer.resume(request.raw, done));
}

/** Whether the request names one host (RFC 9112 §3.2). Node joins several with commas, which no host name has. */
export function namesOneHost({ headers: { host }, httpVersionMinor }: IncomingMessage): boolean {
  return host === undefined ? httpVersionMinor === 0 : !host.includes(',');
}

/** The options that the public and the internal API share. */
export interface AppContext {
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Aborted when shutdown begins. */
  readonly closing: AbortSignal;
  /** Without it, no request is traced. */
  readonly tracer?: RequestTracer | undefined;
  /** Called with the code of each refused request. */
  readonly onRefusal?: ((code: ErrorCode) => void) | undefined;
}

/** Adds the headers of every answer, refuses requests late in a shutdown, logs requests at `debug`, and traces them. */
export function addRequestHooks(app: FastifyInstance, { logger, closing, tracer }: AppContext): void {
  if (tracer) addTracing(app, tracer);
  let refusesFrom = closing.aborted ? 0 : Number.POSITIVE_INFINITY;
  closing.addEventListener('abort', () => {
    refusesFrom = performance.now() + SERVED_MS;
  });
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(SECURITY_HEADERS).headers({ 'cache-control': 'no-store', 'x-request-id': request.id });
    if (!namesOneHost(request.raw)) {
      return done(new BrokerError('request_invalid', { detail: 'There must be one header Host' }));
    }
    const refused = performance.now() >= refusesFrom && !HEALTH_PATHS.has(request.routeOptions.url ?? '');
    done(refused ? new BrokerError('shutting_down', { retryAfter: 1 }) : undefined);
  });

  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    const endsBody = hasBody(raw) && !raw.complete && !mayArriveLate(raw);
    // Also on answers to requests that were in flight when shutdown began. Node would wait for open connections.
    if (closing.aborted || endsBody) reply.raw.shouldKeepAlive = false;
    done(null, payload);
  });

  if (logsRequests(logger)) {
    app.addHook('onResponse', (request, reply, done) => {
      // Log the pattern of the route, not the URL, because the query contains the uniqueId.
      const { id: requestId, method, routeOptions } = request;
      const ms = Math.round(reply.elapsedTime);
      const fields = { requestId, method, route: routeOptions.url, status: reply.statusCode, ms };
      request.log.debug(fields, 'request answered');
      done();
    });
  }
}
