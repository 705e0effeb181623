import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parse } from 'node:querystring';
import helmet from '@fastify/helmet';
import { parse as parsePlain } from 'fast-querystring';
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { BrokerError, type ErrorCode } from '../../token/errors.ts';
import type { RequestTracer } from '../../token/tracer.ts';
import { problemReply } from '../problem.ts';
import { RefusalLog } from '../refusal-log.ts';
import { CONNECTION_TIMES, Connections } from './connections.ts';
import { requireSchemas, ZOD_VALIDATION } from './validation.ts';

const SERVER_OPTIONS: ServerOptions & { readonly optimizeEmptyRequests: boolean } = {
  ...CONNECTION_TIMES,
  // Without it, Node drops a second Authorization header silently.
  joinDuplicateHeaders: true,
  // Node would refuse a request without Host by itself, with an answer that is not a problem. A hook refuses it.
  requireHostHeader: false,
  // Saves the stream of a body that a request does not have, 3 % of a first read. Node.js 20 ignores it.
  optimizeEmptyRequests: true,
};

/** Takes some requests before Fastify does. @param serve hands the request to Fastify @returns whether it took it */
type TakeRequest = (request: IncomingMessage, response: ServerResponse, serve: RequestListener) => boolean;

function createHttpServer(
  connections: Connections,
  serve: RequestListener,
  { take, tracer }: Pick<BaseAppOptions, 'take' | 'tracer'>,
): Server {
  const answer: RequestListener = (request, response) => {
    if (take?.(request, response, serve)) return;
    // With a Content-Type, Fastify would wait for the end of a body that is no stream.
    if (!hasBody(request)) delete request.headers['content-type'];
    serve(request, response);
  };
  const traced: RequestListener = tracer
    ? (request, response) => tracer.request(request, response, () => answer(request, response))
    : answer;
  const listener: RequestListener = (request, response) => {
    if (connections.admit(response)) traced(request, response);
  };
  // Node would answer an unknown `Expect` by itself, with an answer that is not a problem.
  const server = createServer(SERVER_OPTIONS, listener).on('checkExpectation', listener);
  connections.watch(server);
  return server;
}

/** Whether a request has a body (RFC 9112 §6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

export interface BaseAppOptions {
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Aborted when shutdown begins. */
  readonly closing: AbortSignal;
  /** The realm in the `WWW-Authenticate` of a 401 (RFC 9110 §11.5). */
  readonly realm: string;
  /** Most bytes of a request body. */
  readonly bodyLimit: number;
  /** Most characters of a path parameter, decoded. */
  readonly maxParamLength?: number;
  /** Most open connections. */
  readonly maxConnections: number;
  readonly take?: TakeRequest | undefined;
  /** Without it, no request is traced. */
  readonly tracer?: RequestTracer | undefined;
  /** Called with the code of each refused request. */
  readonly onRefusal?: ((code: ErrorCode) => void) | undefined;
}

/** The base of the public and the internal API: timeouts, limits, headers, errors and graceful shutdown. */
export async function createBaseApp(options: BaseAppOptions): Promise<FastifyInstance> {
  const { logger, bodyLimit, realm, maxParamLength, maxConnections, onRefusal } = options;
  const refusals = new RefusalLog();
  const replyWithProblem = problemReply(realm, refusals, onRefusal);
  const connections = new Connections({ max: maxConnections, log: logger, refusals });
  const app = fastify({
    ...ZOD_VALIDATION,
    serverFactory: (serve) => createHttpServer(connections, serve, options),
    forceCloseConnections: 'idle',
    // An onRequest hook refuses the requests that arrive during shutdown, with a problem.
    return503OnClosing: false,
    logController: new fastify.LogController({ disableRequestLogging: true }),
    bodyLimit,
    loggerInstance: logger,
    // A child logger per request would cost more than the request. The log lines about a request name its id instead.
    childLoggerFactory: (shared) => shared,
    genReqId: requestIdOf,
    routerOptions: { querystringParser: parseQueryString, ...(maxParamLength !== undefined && { maxParamLength }) },
    clientErrorHandler: (error, socket) => connections.refuse(error, socket),
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id).header('connection', 'close');
      replyWithProblem(error, request, reply);
    },
  });
  // Before any route: a route keeps the error handler of the time when it was registered.
  app.setErrorHandler(replyWithProblem);
  app.setNotFoundHandler((request, reply) => replyWithProblem(new BrokerError('not_found'), request, reply));
  requireSchemas(app);
  if (options.tracer) addTracing(app, options.tracer);
  await addRequestHooks(app, options);
  app.addHook('preClose', async () => connections.drain());
  app.addHook('onClose', async () => refusals.flush());
  return app;
}

/** Connections that the system accepts before the broker does. At Node's 511, a burst makes callers wait a second. */
const BACKLOG = 4_096;

/** Starts to listen. @param port 0: any free port @returns the base URL */
export async function listenOn(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<string> {
  await app.listen({ host, port, backlog: BACKLOG });
  const { address, family, port: actual } = app.server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
}

/** Stands for malformed percent-encoding. Every schema refuses it; the parser itself cannot refuse a query. */
const MALFORMED = '\0';

/**
 * Parses a query string. A name or a value that is not percent-encoded UTF-8 becomes a NUL character. Fastify's own parser
 * would leave it as it is, but is several times faster, so it parses what is not percent-encoded.
 */
export function parseQueryString(text: string): Record<string, unknown> {
  return text.includes('%') ? parse(text, '&', '=', { decodeURIComponent: decode }) : parsePlain(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return MALFORMED;
  }
}

/** A request id that is safe to log and to echo. */
const SAFE_REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The first 24 characters of a UUID. A whole random UUID per request takes 3 % of the time of a read from memory. */
const PROCESS_ID = randomUUID().slice(0, -12);
let requestCount = 0;

/** The caller's `X-Request-Id` if it is safe, else an id of its own in the form of a UUID: process and number. */
export function requestIdOf(request: IncomingMessage): string {
  const sent = request.headers['x-request-id'];
  if (typeof sent === 'string' && SAFE_REQUEST_ID.test(sent)) return sent;
  requestCount += 1;
  return PROCESS_ID + requestCount.toString(16).padStart(12, '0');
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

/** Adds the headers of every answer, refuses requests during shutdown, and logs each request at `debug`. */
async function addRequestHooks(app: FastifyInstance, { logger, closing }: BaseAppOptions): Promise<void> {
  const headers = await securityHeaders();

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header('x-request-id', request.id);
    const hasNoHost = request.headers.host === undefined && request.raw.httpVersionMinor > 0;
    if (hasNoHost) return done(new BrokerError('request_invalid', { detail: 'The header Host is missing' }));
    const refused = closing.aborted && !HEALTH_PATHS.has(request.routeOptions.url ?? '');
    done(refused ? new BrokerError('shutting_down', { retryAfter: 1 }) : undefined);
  });

  // Also on answers to requests that were in flight when shutdown began. Node would wait for open connections.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing.aborted) reply.header('connection', 'close');
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

/**
 * Ignores the bodies of requests to this scope. Many HTTP clients send `Content-Type` with a DELETE that has no body, and
 * Fastify would refuse that. It would also refuse a `Content-Type` that is empty or malformed, before any parser.
 */
export function leaveBodiesUnread(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    delete request.raw.headers['content-type'];
    done();
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null));
}

const SAMPLE_MS = 1_000;
/** Mean delay of the event loop during a sample. It is far above the delay of a busy replica, so only a stuck one sheds. */
const MAX_DELAY_MS = 1_000;
/** A process that was stopped and has just continued shows one such sample, but must not shed. */
const MIN_LASTING_MS = 1.5 * SAMPLE_MS;
/** Two delays that are further apart than this are two incidents. */
const MAX_GAP_MS = 5_000;
/** The interval of the timer that the histogram measures. Its values include it. */
const RESOLUTION_MS = 10;

/** Measures the delay of the event loop until it is closed. Keeps no process alive. */
export class OverloadMonitor {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer = setInterval(() => this.#sample(), SAMPLE_MS).unref();
  #isDelayed = false;
  #delayedAt = Number.NEGATIVE_INFINITY;
  #delayedSince = Number.NEGATIVE_INFINITY;

  constructor() {
    this.#histogram.enable();
  }

  /** Whether the event loop cannot keep up: in the last sample, and for 1.5 s at least. */
  isOverloaded(): boolean {
    return this.#isDelayed && performance.now() - this.#delayedSince >= MIN_LASTING_MS;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #sample(): void {
    const { mean } = this.#histogram;
    this.#histogram.reset();
    // The mean of no values is NaN: the timer of the histogram did not run once, so the loop was stuck.
    this.#isDelayed = !(mean / 1e6 - RESOLUTION_MS <= MAX_DELAY_MS);
    if (!this.#isDelayed) return;
    const now = performance.now();
    if (now - this.#delayedAt > MAX_GAP_MS) this.#delayedSince = now;
    this.#delayedAt = now;
  }
}

/**
 * Refuses the requests to this scope while the replica is overloaded. The error is `internal`: no other code of the
 * contract fits a fault that is neither the caller's nor the vendor's, and this one alerts the operator.
 */
export function shedWhenOverloaded(app: FastifyInstance, monitor: OverloadMonitor): void {
  app.addHook('onRequest', (_request, _reply, done) => {
    const detail = 'This replica is overloaded at this moment';
    done(monitor.isOverloaded() ? new BrokerError('internal', { detail, retryAfter: 1 }) : undefined);
  });
  app.addHook('onClose', async () => monitor.close());
}
