import type { Server } from 'node:http';
import fastify, { type FastifyHttpOptions } from 'fastify';

const HEADERS_TIMEOUT_MS = 10_000;

/** How the HTTP server treats connections. All times are explicit: Node's own defaults suit a browser's server. */
export const SERVER_OPTIONS = {
  /** Silence on a socket in mid-request. Longer than any answer takes. */
  connectionTimeout: 60_000,
  /** First to last byte of a request. */
  requestTimeout: HEADERS_TIMEOUT_MS,
  /** Longer than load balancers keep idle connections (60 s is common): theirs must be the end that closes. */
  keepAliveTimeout: 72_000,
  http: {
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: 5_000,
    // Else a second Authorization would be dropped in silence.
    joinDuplicateHeaders: true,
  },
  forceCloseConnections: 'idle',
  // Requests that arrive while closing are refused by our own hook, as a problem.
  return503OnClosing: false,
  logController: new fastify.LogController({ disableRequestLogging: true }),
} as const satisfies FastifyHttpOptions<Server>;
