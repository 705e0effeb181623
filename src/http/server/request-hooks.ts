import { randomBytes, randomInt } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import helmet from '@fastify/helmet';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import fastify from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { ZOD_VALIDATION } from './validation.ts';

const ACCEPTED = /^[A-Za-z0-9._-]{1,64}$/;
/** Tells this process from any other. */
const PROCESS = randomBytes(12).toString('base64url');
/** Odd, so that its multiples go through all numbers of 32 bits before one comes again. */
const STEP = 0x9e3779b1;

let last = randomInt(2 ** 32);

/**
 * An id that none of the last 2³² requests has, of any process. To be quoted, not to be kept secret: a UUID for each would
 * cost a read from memory a twentieth of its time.
 */
export function freshRequestId(): string {
  last = (last + STEP) >>> 0;
  return PROCESS + last.toString(36);
}

/** The caller's `X-Request-Id` where it is harmless to log and to echo, else a fresh one. */
export function requestIdOf(request: IncomingMessage): string {
  const sent = request.headers['x-request-id'];
  return typeof sent === 'string' && ACCEPTED.test(sent) ? sent : freshRequestId();
}

let asked: Promise<Readonly<Record<string, string>>> | undefined;

/**
 * The headers helmet sets for an API without markup of its own. Asked of it once: it works them out anew for each
 * request, which takes as long as everything else a token read does.
 */
export function securityHeaders(): Promise<Readonly<Record<string, string>>> {
  asked ??= askHelmet();
  return asked;
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

/** Routes that answer to the last. */
const HEALTH_PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz']);

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
