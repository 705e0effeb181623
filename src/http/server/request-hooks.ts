import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import helmet from '@fastify/helmet';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import fastify from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { ZOD_VALIDATION } from './validation.ts';

/** A request id that is safe to log and to echo. */
const SAFE_REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's `X-Request-Id` if it is safe, else a new UUID. */
export function requestIdOf(request: IncomingMessage): string {
  const sent = request.headers['x-request-id'];
  return typeof sent === 'string' && SAFE_REQUEST_ID.test(sent) ? sent : randomUUID();
}

let cachedHeaders: Promise<Readonly<Record<string, string>>> | undefined;

/**
 * The headers that helmet sets for an API without pages. They are worked out once: helmet's hook works them out for each
 * request, which takes as long as the rest of a token read from memory.
 */
export function securityHeaders(): Promise<Readonly<Record<string, string>>> {
  cachedHeaders ??= askHelmet();
  return cachedHeaders;
}

async function askHelmet(): Promise<Readonly<Record<string, string>>> {
  const app = fastify(ZOD_VALIDATION);
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  app.get('/', (_request, reply) => reply.send(reply.getHeaders()));
  const answer = await app.inject('/');
  await app.close();
  return answer.json();
}

/** These routes answer until the process ends. */
const HEALTH_PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz']);

export interface RequestHooksOptions {
  readonly logger: FastifyBaseLogger;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
}

/** Whether the log has a line for each request. */
export function logsRequests({ level }: Pick<FastifyBaseLogger, 'level'>): boolean {
  return level === 'debug' || level === 'trace';
}

/** Adds the headers of every answer, refuses requests during shutdown, and logs each request at `debug`. */
export async function addRequestHooks(app: FastifyInstance, { logger, closing }: RequestHooksOptions): Promise<void> {
  const headers = await securityHeaders();

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header('x-request-id', request.id);
    const refused = closing() && !HEALTH_PATHS.has(request.routeOptions.url ?? '');
    done(refused ? new BrokerError('shutting_down', { retryAfter: 1 }) : undefined);
  });

  // Also on answers to requests that were in flight when shutdown began. Node would wait for open connections.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing()) reply.header('connection', 'close');
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
