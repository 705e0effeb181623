import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { problemReply, rawProblemAnswer } from '../problem.ts';
import { RefusalLog } from '../refusal-log.ts';
import { requestIdOf } from './answer-headers.ts';
import { createConnections, SWEEP_MS } from './connections.ts';
import type { directReads } from './direct-reads.ts';
import { hasBody } from './request-bodies.ts';
import { type AppContext, addRequestHooks } from './request-hooks.ts';
import { parseQueryString, ZOD_VALIDATION } from './validation.ts';

/** During shutdown, a connection without a request is closed after this long. A proxy may just have sent one. */
const QUIET_MS = 2_000;

/** From opening a connection, or from the first byte of a later request, to the last byte of the request. */
const ARRIVAL_TIMEOUT_MS = 10_000;

/** Header lines of a request. Node would drop more than 1,000 silently, and 3,800 short ones take 0.1 MB of memory. */
const MAX_HEADERS = 100;

/** More than a request line can hold, because the schemas limit the length of ids. */
const MAX_PARAM_LENGTH = 16 * 1_024;

const SERVER_OPTIONS: ServerOptions & { readonly optimizeEmptyRequests: boolean } = {
  // All times are explicit: Node's defaults suit a server of web pages.
  headersTimeout: ARRIVAL_TIMEOUT_MS,
  requestTimeout: ARRIVAL_TIMEOUT_MS,
  connectionsCheckingInterval: SWEEP_MS,
  // Longer than the 60 s that load balancers commonly keep idle connections, so that they close first.
  keepAliveTimeout: 72_000,
  // Without it, Node drops a second Authorization header silently.
  joinDuplicateHeaders: true,
  // Node would refuse a request without Host by itself, with an answer that is not a problem. A hook refuses it.
  requireHostHeader: false,
  // Saves the stream of a body that a request does not have, 3 % of a first read. Node.js 20 ignores it.
  optimizeEmptyRequests: true,
};

function createHttpServer(
  connections: ReturnType<typeof createConnections>,
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
    const { rawHeaders, httpVersion, headers, socket } = request;
    if (rawHeaders.length > 2 * MAX_HEADERS) connections.refuse({ code: 'TOO_MANY_HEADERS' }, socket);
    // A proxy in front may see another end of such a request (RFC 9112 §6.1).
    else if (httpVersion === '1.0' && headers['transfer-encoding'] !== undefined) connections.refuse({}, socket);
    else connections.handle(response, () => traced(request, response));
  };
  const server = createServer(SERVER_OPTIONS, listener)
    // Node would answer an unknown `Expect` by itself, with an answer that is not a problem.
    .on('checkExpectation', listener)
    // Node would close the connection without an answer. It has removed its own listener for errors of the socket.
    .on('connect', ({ socket }) => connections.refuse({ code: 'CONNECT' }, socket));
  // One more shows that there were too many.
  server.maxHeadersCount = MAX_HEADERS + 1;
  connections.watch(server);
  return server;
}

interface BaseAppOptions extends AppContext {
  /** The realm in the `WWW-Authenticate` of a 401 (RFC 9110 §11.5). */
  readonly realm: string;
  /** Most bytes of a request body. */
  readonly bodyLimit: number;
  /** Most open connections. */
  readonly maxConnections: number;
  /** Takes some requests before Fastify does. */
  readonly take?: ReturnType<typeof directReads>['take'] | undefined;
}

/** By the code of Node's error, or of {@link createHttpServer}. */
const UNREADABLE: Readonly<Record<string, string>> = {
  // Node.js 24 also says so of too many header lines.
  HPE_HEADER_OVERFLOW: `The request line and the headers together may have 16 KiB, in ${MAX_HEADERS} header lines`,
  ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time',
  TOO_MANY_HEADERS: `A request may have ${MAX_HEADERS} header lines`,
  CONNECT: 'The broker is no proxy: the method CONNECT is not allowed',
};

/** The base of the public and the internal API: timeouts, limits, headers, errors and graceful shutdown. */
export function createBaseApp(options: BaseAppOptions): FastifyInstance {
  const { logger, bodyLimit, realm, maxConnections, onRefusal } = options;
  const refusals = new RefusalLog();
  const replyWithProblem = problemReply(realm, refusals, onRefusal);
  const answerTo = (code: string): string => {
    const requestId = randomUUID();
    const refusal = new BrokerError('request_invalid', { detail: UNREADABLE[code] ?? 'The request is not HTTP/1.1' });
    // Do not log Node's error itself: it contains the raw packet.
    refusals.add(refusal, { id: requestId, log: logger });
    logger.debug({ requestId, code }, 'unreadable request');
    return rawProblemAnswer(refusal, requestId);
  };
  const connections = createConnections({
    max: maxConnections,
    onFull: () => refusals.addFull(maxConnections, logger),
    answerTo,
  });
  const app = fastify({
    ...ZOD_VALIDATION,
    serverFactory: (serve) => createHttpServer(connections, serve, options),
    // An onRequest hook refuses the requests that arrive during shutdown, with a problem.
    return503OnClosing: false,
    logController: new fastify.LogController({ disableRequestLogging: true }),
    bodyLimit,
    loggerInstance: logger,
    // A child logger per request would cost more than the request. The log lines about a request name its id instead.
    childLoggerFactory: (shared) => shared,
    genReqId: requestIdOf,
    routerOptions: { querystringParser: parseQueryString, maxParamLength: MAX_PARAM_LENGTH },
    clientErrorHandler: (error, socket) => connections.refuse(error, socket),
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id).raw.shouldKeepAlive = false;
      replyWithProblem(error, request, reply);
    },
  });
  // Before any route: a route keeps the error handler of the time when it was registered.
  app.setErrorHandler(replyWithProblem);
  addRequestHooks(app, options);
  refuseUnknownRoutes(app);
  options.closing.addEventListener('abort', () => {
    connections.drain(QUIET_MS);
    // The process may end before the last request does.
    refusals.end();
  });
  app.addHook('preClose', async () => {
    if (!options.closing.aborted) connections.drain(0);
  });
  app.addHook('onClose', async () => refusals.end());
  return app;
}

/** Answers requests without a route, by 405 or 404. It is a hook, because Fastify would read their bodies first. */
function refuseUnknownRoutes(app: FastifyInstance): void {
  const routes: { readonly segments: readonly string[]; readonly methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({ segments: url.split('/'), methods: [method].flat() });
  });
  app.addHook('onRequest', ({ is404, url, method }, reply, done) => {
    if (!is404) return done();
    const [path = ''] = url.split('?');
    const sent = path.split('/');
    const isOfPath = (segments: readonly string[]) =>
      segments.length === sent.length &&
      segments.every((segment, at) => segment === sent[at] || segment.startsWith(':'));
    const allowed = routes.flatMap(({ segments, methods }) => (isOfPath(segments) ? methods : []));
    if (allowed.length === 0) return done(new BrokerError('not_found'));
    reply.header('allow', allowed.join(', '));
    // The path may hold an account.
    done(new BrokerError('method_not_allowed', { detail: `This address takes ${allowed.join(', ')}, not ${method}` }));
  });
}

/** Most open connections: `most`, or this share of the descriptors, because Redis and the vendor need some too. */
export function connectionBound(most: number, descriptorShare: number): number {
  try {
    const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return Math.min(most, Math.floor(Number(limit ?? most) * descriptorShare));
  } catch {
    return most;
  }
}

/** Connections that the system accepts before the broker does. At Node's 511, a burst makes callers wait a second. */
const BACKLOG = 4_096;

/** @param port 0: any free port @param settings for the message of an error @returns the base URL */
export async function listenOn(
  app: FastifyInstance,
  { host, port }: { host: string; port: number },
  settings: string,
): Promise<string> {
  // Outside the try: an error of a plugin does not come from these settings.
  await app.ready();
  try {
    await app.listen({ host, port, backlog: BACKLOG });
  } catch (error) {
    if (error instanceof Error) error.message = `${settings}: ${error.message}`;
    throw error;
  }
  const { address, family, port: actual } = app.server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`;
}
