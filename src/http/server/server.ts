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
import fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { problemAnswer, problemReply } from '../problem.ts';
import { addRequestHooks, requestIdOf } from './request-hooks.ts';
import { parseQueryString, requireSchemas, ZOD_VALIDATION } from './validation.ts';

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

/** Starts to listen. @param port 0: any free port @returns the base URL */
export async function listenOn(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<string> {
  await app.listen({ host, port });
  const { address, family, port: actual } = app.server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
}

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

/** Answers a request before Fastify sees it. @returns whether it did */
export type FastPath = (request: IncomingMessage, response: ServerResponse) => boolean;

function createHttpServer(serve: RequestListener, fastPath: FastPath | undefined): Server {
  const listener: RequestListener = fastPath
    ? (request, response) => void (fastPath(request, response) || serve(request, response))
    : serve;
  return createServer(SERVER_OPTIONS, listener).setTimeout(SOCKET_TIMEOUT_MS);
}

/**
 * Ignores the bodies of requests to this scope. Many HTTP clients send `Content-Type` with a DELETE that has no body, and
 * Fastify would refuse that.
 */
export function leaveBodiesUnread(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null));
}

/**
 * Closes the connections that never carried a request when the app closes. Load balancers and browsers open some in
 * advance. Node counts them as busy, so `close()` would wait for them.
 */
function closeUnusedConnections(app: FastifyInstance): void {
  const unused = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  app.server.on('request', ({ socket }) => unused.size > 0 && unused.delete(socket));
  app.addHook('preClose', async () => {
    for (const socket of unused) socket.destroy();
  });
}

export interface BaseAppOptions {
  /** A pino logger. At `debug` and below there is a line per request. */
  readonly logger: FastifyBaseLogger;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
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
  const app = fastify({
    ...ZOD_VALIDATION,
    serverFactory: (serve) => createHttpServer(serve, fastPath),
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
  closeUnusedConnections(app);
  return app;
}
