import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import helmet from '@fastify/helmet';
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { problemAnswer, problemReply } from '../problem.ts';
import { parseQueryString, requireSchemas, ZOD_VALIDATION } from './validation.ts';

/** A socket may be silent for this long while it carries a request. Every answer takes less. */
const SOCKET_TIMEOUT_MS = 60_000;

/** All times are explicit: Node's defaults suit a server of web pages. */
const SERVER_OPTIONS: ServerOptions = {
  headersTimeout: 10_000,
  /** From the first to the last byte of a request. */
  requestTimeout: 10_000,
  connectionsCheckingInterval: 5_000,
  /** Longer than the 60 s that load balancers commonly keep idle connections, so that they close first. */
  keepAliveTimeout: 72_000,
  // Without it, Node drops a second Authorization header silently.
  joinDuplicateHeaders: true,
};

/** Answers some requests before Fastify sees them. */
export interface FastPath {
  /** @returns whether it answered */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
}

/** @param unused the connections that have carried no request yet */
function createHttpServer(serve: RequestListener, fastPath: FastPath | undefined, unused: Set<Socket>): Server {
  const server = createServer(SERVER_OPTIONS, (request, response) => {
    if (unused.size > 0) unused.delete(request.socket);
    if (!fastPath?.answer(request, response)) serve(request, response);
  });
  server.on('connection', (socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  return server.setTimeout(SOCKET_TIMEOUT_MS);
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
  readonly fastPath?: FastPath | undefined;
}

/** The base of the public and the internal API: timeouts, limits, headers, errors and graceful shutdown. */
export async function createBaseApp(options: BaseAppOptions): Promise<FastifyInstance> {
  const { logger, bodyLimit, realm, maxParamLength, fastPath } = options;
  const replyWithProblem = problemReply(realm);
  const unused = new Set<Socket>();
  const app = fastify({
    ...ZOD_VALIDATION,
    serverFactory: (serve) => createHttpServer(serve, fastPath, unused),
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
    clientErrorHandler: (error, socket) => answerClientError(error, socket, logger),
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id).header('connection', 'close');
      replyWithProblem(error, request, reply);
    },
  });
  // Before any route: a route keeps the error handler of the time when it was registered.
  app.setErrorHandler(replyWithProblem);
  app.setNotFoundHandler((request, reply) => replyWithProblem(new BrokerError('not_found'), request, reply));
  requireSchemas(app);
  await addRequestHooks(app, options);
  // Load balancers and browsers open connections in advance. Node counts them as busy, so `close()` would wait for them.
  app.addHook('preClose', async () => {
    for (const socket of unused) socket.destroy();
  });
  return app;
}

/** Starts to listen. @param port 0: any free port @returns the base URL */
export async function listenOn(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<string> {
  await app.listen({ host, port });
  const { address, family, port: actual } = app.server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
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

/** Adds the headers of every answer, refuses requests during shutdown, and logs each request at `debug`. */
async function addRequestHooks(app: FastifyInstance, { logger, closing }: BaseAppOptions): Promise<void> {
  const headers = await securityHeaders();

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header('x-request-id', request.id);
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
 * Fastify would refuse that.
 */
export function leaveBodiesUnread(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null));
}

const DETAILS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'The request line and the headers together may have 16 KiB',
  ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time',
};

/** Answers bytes that Node's HTTP parser cannot read with a problem, then ends the socket. There is no request yet. */
function answerClientError(error: { readonly code?: string }, socket: Socket, log: FastifyBaseLogger): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = randomUUID();
  // Do not log the error itself: it contains the raw packet.
  log.debug({ requestId, code: error.code }, 'unreadable request');
  const detail = DETAILS[error.code ?? ''] ?? 'The request is not HTTP/1.1';
  const { problem, headers } = problemAnswer(new BrokerError('request_invalid', { detail }), requestId);
  const body = JSON.stringify(problem);
  const head = {
    ...headers,
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} Bad Request\r\n${lines.join('')}\r\n${body}`);
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
