import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import { LogSampler } from '../refusal-log.ts';

/** The caller may leave bytes of an answer unread for this long. */
const READ_TIMEOUT_MS = 10_000;
/**
 * A request may wait for its answer for this long. With the longest `VENDOR_TIMEOUT_MS`, a read may take the lease until
 * 249 s have passed, and its own login then takes up to 122 s.
 */
const ANSWER_TIMEOUT_MS = 400_000;
/** From the end of a last answer until the broker destroys a socket that the caller has not closed. */
const LINGER_MS = 1_000;
export const SWEEP_MS = 1_000;
/** Part of the idle connections that make room at once, so that one pass makes room for many. */
const ROOM_SHARE = 1 / 8;

class Connection {
  readonly socket: Socket;
  /** The response to the request that is being answered. */
  current: ServerResponse | undefined;
  /** The response to the request that arrived last: the current one, one that waits, or one whose body still arrives. */
  latest: ServerResponse | undefined;
  /** When its last request began or ended, in ms; 0 before the first. */
  usedAt = 0;
  /** When the sweep first saw that the caller leaves bytes unread, in ms. */
  unreadSince: number | undefined;
  /** It sent bytes that are not HTTP, or too slowly. The broker reads no more from it. */
  isRefused = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/** A socket of Node's HTTP server. Its parser calls `onIncoming` for the head of each request. */
interface HttpSocket extends Socket {
  readonly parser: { onIncoming(...head: unknown[]): number };
}

/** Makes Node's parser leave the rest of the bytes, as it does behind an upgrade. */
const PARSE_NO_MORE = 2;

/** Whether a whole request waits for its answer. Then the connection is never closed to make room. */
function isAnswering({ socket, current }: Connection): boolean {
  if (!current?.req.complete) return false;
  return !current.writableEnded || socket.writableLength === 0;
}

interface ConnectionsOptions {
  readonly max: number;
  readonly log: FastifyBaseLogger;
  /** The bytes of the answer to a request that Node cannot read. @param code of Node's error */
  readonly answerTo: (code: string) => string;
}

/**
 * The connections of a listener, within their bounds: how many there are, one request at a time on each, and how long each
 * may take to read and to close. Node's own bounds do not cover sockets that were answered after an error, or that read
 * slowly.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #connections = new Map<Socket, Connection>();
  readonly #lines = new LogSampler<'full'>();
  #draining = { since: Number.POSITIVE_INFINITY, quietMs: 0 };

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Bounds the connections of this server from now on. */
  watch(server: Server): void {
    const timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    server.on('connection', (socket) => this.#add(socket));
    // `server.close()` calls it, and would close a connection on which a proxy has just sent a request.
    server.closeIdleConnections = () => undefined;
    server.once('close', () => {
      clearInterval(timer);
      this.#lines.flush();
    });
  }

  /** Answers the requests of a connection one after the other. */
  handle(response: ServerResponse, answer: () => void): void {
    const connection = this.#connections.get(response.req.socket);
    // Node may read the rest of a request after it was refused as too slow.
    if (!connection || connection.isRefused) return;
    const { current, socket } = connection;
    connection.latest = response;
    // After an answer with `Connection: close`, nothing can be written.
    const isNext = () => connection.latest === response && socket.writable;
    if (current) current.once('close', () => isNext() && this.#begin(connection, response, answer));
    else this.#begin(connection, response, answer);
  }

  #begin(connection: Connection, response: ServerResponse, answer: () => void): void {
    connection.current = response;
    connection.usedAt = performance.now();
    response.once('close', () => {
      connection.current = undefined;
      if (connection.latest === response && response.req.complete) connection.latest = undefined;
      connection.usedAt = performance.now();
    });
    // Node hands over all requests of one read first. If they are too many, none is answered.
    process.nextTick(() => {
      if (connection.current === response && this.#connections.has(connection.socket)) answer();
    });
  }

  /**
   * Handles bytes that Node's parser cannot read, and requests that do not arrive in time. Each request gets one answer:
   * a problem, if there is no answer yet. Then the broker closes the connection.
   */
  refuse({ code = '' }: { readonly code?: string }, socket: Socket): void {
    const connection = this.#connections.get(socket);
    // Node reports the error again for each packet that follows.
    if (!connection || connection.isRefused) return;
    connection.isRefused = true;
    // A connection that carried nothing is not a request, so it gets no answer.
    if (!socket.writable || socket.bytesRead === 0) return void socket.destroy();
    const { current, latest } = connection;
    const isArriving = latest?.req.complete === false;
    // The bytes belong to the latest request if it is not complete. Its handler may wait for the rest forever.
    const isUnanswered = isArriving && !latest.headersSent;
    const other = current === latest ? undefined : current;
    // If its handler has not begun, it does not begin.
    if (isUnanswered) {
      connection.current = other;
      connection.latest = other;
    }
    const last = isUnanswered ? other : current && latest;
    const getsAnswer = isUnanswered || (!last && !isArriving);
    const end = () => endSoon(socket, getsAnswer ? this.#options.answerTo(code) : '');
    if (last) last.once('finish', end);
    else end();
  }

  /** From now on, closes each connection once it has carried no request for `quietMs`, and those that still send one. */
  drain(quietMs: number): void {
    this.#draining = { since: performance.now(), quietMs };
    this.#sweep();
  }

  #add(socket: Socket): void {
    const { max, log } = this.#options;
    if (this.#connections.size >= max) {
      this.#makeRoom();
      this.#lines.add('full', (omitted) =>
        log.warn({ max, omitted }, 'too many connections: unused or new ones are closed'),
      );
      if (this.#connections.size >= max) return void socket.destroy();
    }
    const connection = new Connection(socket);
    this.#connections.set(socket, connection);
    socket.once('close', () => this.#connections.delete(socket));
    // One request may wait. At the head of another one, nothing is parsed any more: its objects would cost memory and time.
    const { parser } = socket as HttpSocket;
    const { onIncoming } = parser;
    parser.onIncoming = (...head) => {
      if (!connection.current || connection.latest === connection.current) return onIncoming(...head);
      this.#close(connection);
      return PARSE_NO_MORE;
    };
  }

  /**
   * Closes the oldest connections without a request first, because an honest caller sends one at once, then those that were
   * used least recently. A new caller is thus served although others hold every connection.
   */
  #makeRoom(): void {
    const idle = [...this.#connections.values()].filter((connection) => !isAnswering(connection));
    idle.sort((a, b) => a.usedAt - b.usedAt);
    for (const connection of idle.slice(0, Math.ceil(idle.length * ROOM_SHARE))) this.#close(connection);
  }

  #close({ socket }: Connection): void {
    this.#connections.delete(socket);
    // Otherwise the system keeps bytes that the caller does not read for minutes, also without the process.
    if (socket.writableLength > 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  #sweep(): void {
    const now = performance.now();
    const { since, quietMs } = this.#draining;
    for (const connection of this.#connections.values()) {
      if (connection.socket.writableLength === 0) connection.unreadSince = undefined;
      else connection.unreadSince ??= now;
      const isUnread = connection.unreadSince !== undefined && now - connection.unreadSince >= READ_TIMEOUT_MS;
      const isTooLong = isAnswering(connection) && now - connection.usedAt >= ANSWER_TIMEOUT_MS;
      const isQuiet = !connection.current?.req.complete && now - Math.max(since, connection.usedAt) >= quietMs;
      if (isUnread || isTooLong || isQuiet) this.#close(connection);
    }
  }
}

/**
 * Sends the last bytes, and destroys the socket if the caller has not closed it soon. Destroying it at once would reset
 * the connection while the caller still sends, and the caller would lose the answer.
 */
function endSoon(socket: Socket, bytes = ''): void {
  socket.end(bytes);
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
