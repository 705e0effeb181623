import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import { BrokerError } from '../../token/errors.ts';
import { problemAnswer } from '../problem.ts';
import type { RefusalLog } from '../refusal-log.ts';

/** From opening a connection, or from the first byte of a later request, to the last byte of the request. */
const ARRIVAL_TIMEOUT_MS = 10_000;
/** The caller may leave bytes of an answer unread for this long. */
const READ_TIMEOUT_MS = 10_000;
/**
 * A request may wait for its answer for this long. With the longest `VENDOR_TIMEOUT_MS`, a read may take the lease until
 * 249 s have passed, and its own login then takes up to 122 s.
 */
const ANSWER_TIMEOUT_MS = 400_000;
/** From the end of a last answer until the broker destroys a socket that the caller has not closed. */
const LINGER_MS = 1_000;
/** During shutdown, a request that has begun to arrive gets this long. */
const DRAIN_GRACE_MS = 1_000;
const SWEEP_MS = 1_000;
const LOG_INTERVAL_MS = 10_000;

/** All times are explicit: Node's defaults suit a server of web pages. */
export const CONNECTION_TIMES: ServerOptions = {
  headersTimeout: ARRIVAL_TIMEOUT_MS,
  requestTimeout: ARRIVAL_TIMEOUT_MS,
  connectionsCheckingInterval: SWEEP_MS,
  /** Longer than the 60 s that load balancers commonly keep idle connections, so that they close first. */
  keepAliveTimeout: 72_000,
};

const LIMITS_FILE = '/proc/self/limits';

/** Most file descriptors of this process. Where the system does not say, there is no limit. */
function descriptorLimit(): number {
  try {
    const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync(LIMITS_FILE, 'latin1')) ?? [];
    return Number(limit ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * Most open connections of a listener.
 * @param most the bound where descriptors are plenty
 * @param descriptorShare share of the descriptors that the connections may use. Redis and the vendor need some too
 */
export function connectionBound(most: number, descriptorShare: number): number {
  return Math.min(most, Math.floor(descriptorLimit() * descriptorShare));
}

interface Connection {
  readonly socket: Socket;
  /** The response to its latest request. */
  response: ServerResponse | undefined;
  /** The response to the request before it, if it was unfinished when the latest arrived. */
  earlier: ServerResponse | undefined;
  /** Number of its latest request. */
  lastRequest: number;
  /** Requests that arrived while an earlier one had no complete answer. */
  pipelined: number;
  /** The unfinished responses to pipelined requests. */
  waiting: Set<ServerResponse> | undefined;
  /** When the sweep first saw that the caller leaves bytes unread, in ms. */
  unreadSince: number | undefined;
  /** The latest request that the sweep has seen, and when it first saw it, in ms. */
  sweptRequest: number;
  sweptSince: number;
  /** It sent bytes that are not HTTP, or too slowly. The broker reads no more from it. */
  isRefused: boolean;
}

/** The state of a connection before its first request. */
const UNUSED: Omit<Connection, 'socket'> = {
  response: undefined,
  earlier: undefined,
  lastRequest: 0,
  pipelined: 0,
  waiting: undefined,
  unreadSince: undefined,
  sweptRequest: 0,
  sweptSince: 0,
  isRefused: false,
};

/** Whether a whole request waits for its answer. Then the connection is never closed to make room. */
function isAnswering({ socket, response, earlier }: Connection): boolean {
  const last = response?.req.complete === false ? earlier : response;
  if (!last?.writableEnded) return last !== undefined;
  // Node sends answers in order: it holds this one back while an earlier request waits for its answer.
  return !last.writableFinished && socket.writableLength === 0;
}

function waitForTurn(connection: Connection, response: ServerResponse): void {
  const waiting = connection.waiting ?? new Set();
  connection.waiting = waiting;
  waiting.add(response);
  response.once('close', () => waiting.delete(response));
}

/**
 * Tells the responses that their connection has ended: audit lines and spans end with the response. Node 20 emits `close`
 * only on the response whose turn it is, because the others have no socket yet. Node 24 emits it on each, a little later.
 */
function closeWaiting(waiting: ReadonlySet<ServerResponse>): void {
  setImmediate(() => {
    for (const response of waiting) if (!response.socket && !response.closed) response.emit('close');
  });
}

/**
 * Most requests that a caller may send without waiting for their answers. Node handles all requests of one read of the
 * socket at once, so 64 KiB of small ones would stop every other caller for 0.1 s.
 */
const MAX_PIPELINED = 64;

/** Part of the connections without a request that make room at once, so that one pass makes room for many. */
const ROOM_SHARE = 1 / 8;

interface ConnectionsOptions {
  readonly max: number;
  readonly log: FastifyBaseLogger;
  /** Gets the requests that Node cannot read. */
  readonly refusals: Pick<RefusalLog, 'addUnreadable'>;
}

/**
 * The connections of a listener, within their bounds: how many there are, and how long each may take to read and to
 * close. Node's own bounds do not cover sockets that were answered after an error, or that read slowly.
 */
export class Connections {
  readonly #max: number;
  readonly #log: FastifyBaseLogger;
  readonly #refusals: ConnectionsOptions['refusals'];
  readonly #connections = new Map<Socket, Connection>();
  /** Connections without a request, the oldest first. */
  readonly #unused = new Set<Connection>();
  #timer: NodeJS.Timeout | undefined;
  #requests = 0;
  #counts = { closed: 0, rejected: 0 };
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor({ max, log, refusals }: ConnectionsOptions) {
    this.#max = max;
    this.#log = log;
    this.#refusals = refusals;
  }

  /** Bounds the connections of this server from now on. */
  watch(server: Server): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    server.on('connection', (socket) => this.#add(socket));
    server.once('close', () => clearInterval(this.#timer));
  }

  /** Must be called for each request. @returns whether to answer it. If not, the connection is closed */
  admit(response: ServerResponse): boolean {
    const connection = this.#connections.get(response.req.socket);
    if (!connection) return false;
    const { response: earlier } = connection;
    if (!earlier) this.#unused.delete(connection);
    connection.earlier = earlier?.writableFinished === false ? earlier : undefined;
    connection.pipelined = connection.earlier ? connection.pipelined + 1 : 0;
    if (connection.earlier) waitForTurn(connection, response);
    connection.response = response;
    this.#requests += 1;
    connection.lastRequest = this.#requests;
    if (connection.pipelined < MAX_PIPELINED) return true;
    this.#close(connection);
    return false;
  }

  /**
   * Handles bytes that Node's parser cannot read, and requests that do not arrive in time. Each request gets one answer:
   * a problem, if there is no answer yet. Then the broker closes the connection.
   */
  refuse(error: { readonly code?: string }, socket: Socket): void {
    const connection = this.#connections.get(socket);
    // Node reports the error again for each packet that follows.
    if (!connection || connection.isRefused) return;
    connection.isRefused = true;
    if (!socket.writable || socket.bytesRead === 0) {
      // A connection that carried nothing is not a request, so it gets no answer.
      socket.destroy();
      return;
    }
    const { response, earlier } = connection;
    // The bytes belong to the latest request if it is not complete. Its handler may wait for the rest forever.
    const isIncomplete = response?.req.complete === false;
    const last = isIncomplete && !response.headersSent ? earlier : response;
    const isPending = last !== undefined && !last.writableFinished;
    const end = () => {
      const isAnswered = isIncomplete ? response.headersSent : isPending;
      endSoon(socket, isAnswered ? '' : this.#problem(error));
    };
    if (isPending) last.once('finish', end);
    else end();
  }

  /**
   * Closes the connections that carry no request. Those with a request that is still arriving follow after 1 s. Those
   * that wait for an answer are closed after it.
   */
  drain(): void {
    // Load balancers and browsers open connections in advance. Node counts them as busy, so `close()` would wait.
    for (const { socket } of this.#unused) if (socket.bytesRead === 0) socket.destroy();
    clearInterval(this.#timer);
    const closeRest = () => {
      for (const connection of this.#connections.values()) if (!isAnswering(connection)) this.#close(connection);
    };
    this.#timer = setInterval(closeRest, DRAIN_GRACE_MS).unref();
  }

  #add(socket: Socket): void {
    if (this.#connections.size >= this.#max) this.#makeRoom();
    if (this.#connections.size >= this.#max) {
      this.#counts.rejected += 1;
      socket.destroy();
      return;
    }
    const connection: Connection = { ...UNUSED, socket };
    this.#connections.set(socket, connection);
    this.#unused.add(connection);
    socket.once('close', () => {
      this.#forget(connection);
      if (connection.waiting) closeWaiting(connection.waiting);
    });
  }

  /**
   * Closes the oldest connection without a request: an honest caller sends one at once. If there is none, closes those
   * that were used least recently. A new caller is thus served although others hold every connection.
   */
  #makeRoom(): void {
    const [oldest] = this.#unused;
    const idle = oldest ? [oldest] : [...this.#connections.values()].filter((connection) => !isAnswering(connection));
    idle.sort((a, b) => a.lastRequest - b.lastRequest);
    for (const connection of idle.slice(0, Math.ceil(idle.length * ROOM_SHARE))) {
      this.#close(connection);
      this.#counts.closed += 1;
    }
  }

  #close(connection: Connection): void {
    this.#forget(connection);
    const { socket } = connection;
    // Otherwise the system keeps bytes that the caller does not read for minutes, also without the process.
    if (socket.writableLength > 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection.socket);
    this.#unused.delete(connection);
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#connections.values()) {
      if (connection.socket.writableLength === 0) connection.unreadSince = undefined;
      else connection.unreadSince ??= now;
      if (connection.sweptRequest !== connection.lastRequest) {
        connection.sweptRequest = connection.lastRequest;
        connection.sweptSince = now;
      }
      const isUnread = connection.unreadSince !== undefined && now - connection.unreadSince >= READ_TIMEOUT_MS;
      const isUnanswered = isAnswering(connection) && now - connection.sweptSince >= ANSWER_TIMEOUT_MS;
      if (isUnread || isUnanswered) this.#close(connection);
    }
    this.#logCounts(now);
  }

  #logCounts(now: number): void {
    const { closed, rejected } = this.#counts;
    if (closed + rejected === 0 || now - this.#loggedAt < LOG_INTERVAL_MS) return;
    this.#log.warn({ max: this.#max, closed, rejected }, 'too many connections: idle ones were closed');
    this.#counts = { closed: 0, rejected: 0 };
    this.#loggedAt = now;
  }

  /** The bytes of a complete answer. There is no request that Fastify could answer. */
  #problem({ code = '' }: { readonly code?: string }): string {
    const requestId = randomUUID();
    const refusal = new BrokerError('request_invalid', { detail: DETAILS[code] ?? 'The request is not HTTP/1.1' });
    // Do not log the error itself: it contains the raw packet.
    this.#refusals.addUnreadable(refusal, { id: requestId, log: this.#log });
    this.#log.debug({ requestId, code }, 'unreadable request');
    const { problem, headers } = problemAnswer(refusal, requestId);
    const body = JSON.stringify(problem);
    const length = String(Buffer.byteLength(body));
    const head = { ...headers, 'x-request-id': requestId, 'content-length': length, connection: 'close' };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
    return `HTTP/1.1 ${problem.status} Bad Request\r\n${lines.join('')}\r\n${body}`;
  }
}

const DETAILS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'The request line and the headers together may have 16 KiB',
  ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time',
};

/**
 * Sends the last bytes, and destroys the socket if the caller has not closed it soon. Destroying it at once would reset
 * the connection while the caller still sends, and the caller would lose the answer.
 */
function endSoon(socket: Socket, bytes = ''): void {
  socket.end(bytes);
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
