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
const SWEEP_MS = 1_000;
const DRAIN_SWEEP_MS = 250;
const LOG_INTERVAL_MS = 10_000;
/** Part of the idle connections that make room at once, so that one pass makes room for many. */
const ROOM_SHARE = 1 / 8;

/** All times are explicit: Node's defaults suit a server of web pages. */
export const CONNECTION_TIMES: ServerOptions = {
  headersTimeout: ARRIVAL_TIMEOUT_MS,
  requestTimeout: ARRIVAL_TIMEOUT_MS,
  connectionsCheckingInterval: SWEEP_MS,
  /** Longer than the 60 s that load balancers commonly keep idle connections, so that they close first. */
  keepAliveTimeout: 72_000,
};

/**
 * Most open connections of a listener.
 * @param most the bound where descriptors are plenty
 * @param descriptorShare share of the descriptors that the connections may use. Redis and the vendor need some too
 */
export function connectionBound(most: number, descriptorShare: number): number {
  try {
    const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return Math.min(most, Math.floor(Number(limit ?? most) * descriptorShare));
  } catch {
    return most;
  }
}

interface Connection {
  readonly socket: Socket;
  /** The response to the request that is being answered. */
  current: ServerResponse | undefined;
  /** The response to a request that arrived before that answer. It is handled afterwards. */
  next: ServerResponse | undefined;
  /** When its last request began or ended, in ms; 0 before the first. */
  usedAt: number;
  /** When the sweep first saw that the caller leaves bytes unread, in ms. */
  unreadSince: number | undefined;
  /** It sent bytes that are not HTTP, or too slowly. The broker reads no more from it. */
  isRefused: boolean;
}

/** Whether a whole request waits for its answer. Then the connection is never closed to make room. */
function isAnswering({ socket, current }: Connection): boolean {
  if (!current?.req.complete) return false;
  return !current.writableEnded || socket.writableLength === 0;
}

interface ConnectionsOptions {
  readonly max: number;
  readonly log: FastifyBaseLogger;
  /** Gets the requests that Node cannot read. */
  readonly refusals: Pick<RefusalLog, 'addUnreadable'>;
}

/**
 * The connections of a listener, within their bounds: how many there are, one request at a time on each, and how long each
 * may take to read and to close. Node's own bounds do not cover sockets that were answered after an error, or that read
 * slowly.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #connections = new Map<Socket, Connection>();
  #timer: NodeJS.Timeout | undefined;
  #counts = { closed: 0, rejected: 0 };
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Bounds the connections of this server from now on. */
  watch(server: Server): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    server.on('connection', (socket) => this.#add(socket));
    // `server.close()` calls it, and would close a connection on which a proxy has just sent a request.
    server.closeIdleConnections = () => undefined;
    server.once('close', () => clearInterval(this.#timer));
  }

  /**
   * Answers the requests of a connection one after the other. One may wait; for more, the connection is closed. What Node has
   * read of it by then is dropped.
   */
  handle(response: ServerResponse, answer: () => void): void {
    const connection = this.#connections.get(response.req.socket);
    if (!connection) return;
    if (!connection.current) this.#begin(connection, response, answer);
    else if (connection.next) {
      withoutStacks(connection.socket);
      this.#close(connection);
    } else {
      connection.next = response;
      connection.current.once('close', () => {
        if (connection.next === response && !connection.socket.destroyed) this.#begin(connection, response, answer);
      });
    }
  }

  #begin(connection: Connection, response: ServerResponse, answer: () => void): void {
    connection.current = response;
    connection.next = undefined;
    connection.usedAt = performance.now();
    response.once('close', () => {
      connection.current = undefined;
      connection.usedAt = performance.now();
    });
    // Node hands over all requests of one read first. If they are too many, none is answered.
    process.nextTick(() => {
      if (this.#connections.has(connection.socket)) answer();
    });
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
    // A connection that carried nothing is not a request, so it gets no answer.
    if (!socket.writable || socket.bytesRead === 0) return void socket.destroy();
    const { current, next } = connection;
    const latest = next ?? current;
    // The bytes belong to the latest request if it is not complete. Its handler may wait for the rest forever.
    const isUnanswered = latest?.req.complete === false && !latest.headersSent;
    if (isUnanswered) connection.next = undefined;
    const last = isUnanswered ? next && current : latest;
    if (last) last.once('finish', () => endSoon(socket, isUnanswered ? this.#problem(error) : ''));
    else endSoon(socket, this.#problem(error));
  }

  /** From now on, closes each connection once it has carried no request for `quietMs`, and those that still send one. */
  drain(quietMs: number): void {
    const beganAt = performance.now();
    const closeQuiet = () => {
      const now = performance.now();
      for (const connection of this.#connections.values()) {
        const isQuiet = now - Math.max(beganAt, connection.usedAt) >= quietMs;
        if (isQuiet && !isAnswering(connection)) this.#close(connection);
      }
    };
    clearInterval(this.#timer);
    this.#timer = setInterval(closeQuiet, DRAIN_SWEEP_MS).unref();
    closeQuiet();
  }

  #add(socket: Socket): void {
    const { max } = this.#options;
    if (this.#connections.size >= max) this.#makeRoom();
    if (this.#connections.size >= max) {
      this.#counts.rejected += 1;
      socket.destroy();
      return;
    }
    const none = { current: undefined, next: undefined, unreadSince: undefined };
    this.#connections.set(socket, { ...none, socket, usedAt: 0, isRefused: false });
    socket.once('close', () => this.#connections.delete(socket));
  }

  /**
   * Closes the oldest connections without a request first, because an honest caller sends one at once, then those that were
   * used least recently. A new caller is thus served although others hold every connection.
   */
  #makeRoom(): void {
    const idle = [...this.#connections.values()].filter((connection) => !isAnswering(connection));
    idle.sort((a, b) => a.usedAt - b.usedAt);
    for (const connection of idle.slice(0, Math.ceil(idle.length * ROOM_SHARE))) {
      this.#close(connection);
      this.#counts.closed += 1;
    }
  }

  #close({ socket }: Connection): void {
    this.#connections.delete(socket);
    // Otherwise the system keeps bytes that the caller does not read for minutes, also without the process.
    if (socket.writableLength > 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#connections.values()) {
      if (connection.socket.writableLength === 0) connection.unreadSince = undefined;
      else connection.unreadSince ??= now;
      const isUnread = connection.unreadSince !== undefined && now - connection.unreadSince >= READ_TIMEOUT_MS;
      const isUnanswered = isAnswering(connection) && now - connection.usedAt >= ANSWER_TIMEOUT_MS;
      if (isUnread || isUnanswered) this.#close(connection);
    }
    this.#logCounts(now);
  }

  #logCounts(now: number): void {
    const { max, log } = this.#options;
    const { closed, rejected } = this.#counts;
    if (closed + rejected === 0 || now - this.#loggedAt < LOG_INTERVAL_MS) return;
    log.warn({ max, closed, rejected }, 'too many connections: idle ones were closed');
    this.#counts = { closed: 0, rejected: 0 };
    this.#loggedAt = now;
  }

  /** The bytes of a complete answer. There is no request that Fastify could answer. */
  #problem({ code = '' }: { readonly code?: string }): string {
    const requestId = randomUUID();
    const refusal = new BrokerError('request_invalid', { detail: DETAILS[code] ?? 'The request is not HTTP/1.1' });
    // Do not log the error itself: it contains the raw packet.
    this.#options.refusals.addUnreadable(refusal, { id: requestId, log: this.#options.log });
    this.#options.log.debug({ requestId, code }, 'unreadable request');
    const { problem, headers } = problemAnswer(refusal, requestId);
    const body = JSON.stringify(problem);
    const length = String(Buffer.byteLength(body));
    const head = { ...headers, 'x-request-id': requestId, 'content-length': length, connection: 'close' };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
    return `HTTP/1.1 ${problem.status} Bad Request\r\n${lines.join('')}\r\n${body}`;
  }
}

/** Node makes an error for each request that has no answer when its connection closes. Their stacks take most of the time. */
function withoutStacks(socket: Socket): void {
  const { stackTraceLimit } = Error;
  socket.prependOnceListener('close', () => {
    Error.stackTraceLimit = 0;
  });
  socket.once('close', () => {
    Error.stackTraceLimit = stackTraceLimit;
  });
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
