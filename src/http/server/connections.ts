import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hasBody, mayArriveLate } from './request-bodies.ts';

/** The caller may leave bytes of an answer unread for this long. */
const READ_TIMEOUT_MS = 10_000;
/** With the longest `VENDOR_TIMEOUT_MS`, a read may take the lease after 249 s, and its own login takes up to 122 s. */
const ANSWER_TIMEOUT_MS = 400_000;
/** From the end of a last answer until the broker destroys a socket that the caller has not closed. */
const LINGER_MS = 1_000;
export const SWEEP_MS = 1_000;
/** Part of the connections of a kind that make room at once, so that one pass makes room for many. */
const ROOM_SHARE = 1 / 8;
/** While at most this part of the connections has no session, others make room: a newcomer has none at first. */
const NEWCOMER_SHARE = 1 / 4;

/** The connections that carried a request with a session, or an admin token, that was accepted. */
export const withSession = new WeakSet<Socket>();

interface Connection {
  readonly socket: Socket;
  /** To the requests that were not answered yet or have not arrived completely: at most two, in order. */
  readonly responses: ServerResponse[];
  /** When it opened, or its last request began or ended, in ms. */
  usedAt: number;
  /** When the sweep first saw that the caller leaves bytes unread, in ms. */
  unreadSince: number | undefined;
  /** It sent bytes that are not HTTP, too slowly, or too many after the answer. The broker reads no more from it. */
  isRefused: boolean;
}

/** The response to the whole request that is being answered. */
function currentOf({ responses }: Connection): ServerResponse | undefined {
  return responses.find(({ closed, req }) => !closed && req.complete);
}

/** Whether its caller waits for an answer. */
function isAnswering(connection: Connection): boolean {
  const current = currentOf(connection);
  return current !== undefined && (!current.writableEnded || connection.socket.writableLength === 0);
}

/** A socket of Node's HTTP server. Its parser calls `onIncoming` for the head of each request. */
interface HttpSocket extends Socket {
  readonly parser: { onIncoming(...head: unknown[]): number };
}

interface ConnectionsOptions {
  readonly max: number;
  /** Called when a connection opens although there are `max`: others are closed, or else this one. */
  readonly onFull: () => void;
  /** The bytes of the answer to a request that Node cannot read. @param code of Node's error */
  readonly answerTo: (code: string) => string;
}

/**
 * The bounds of a listener's connections: how many, one request at a time on each, and how long each may take to read
 * and to close. Node's own bounds do not cover sockets that were answered after an error, or that read slowly.
 */
export function createConnections({ max, onFull, answerTo }: ConnectionsOptions) {
  const connections = new Map<Socket, Connection>();
  let draining = { since: Number.POSITIVE_INFINITY, quietMs: 0 };
  return { watch, handle, refuse, drain };

  /** Bounds the connections of this server from now on. */
  function watch(server: Server): void {
    // After this turn has read what had arrived: it may be a request on a connection that would be closed.
    const timer = setInterval(() => setImmediate(sweep), SWEEP_MS).unref();
    server.on('connection', add);
    // `server.close()` calls it, and would close a connection on which a proxy has just sent a request.
    server.closeIdleConnections = () => undefined;
    server.once('close', () => clearInterval(timer));
  }

  /** Answers the requests of a connection one after the other. */
  function handle(response: ServerResponse, answer: () => void): void {
    const connection = connections.get(response.req.socket);
    // Node may read the rest of a request after it was refused as too slow.
    if (!connection || connection.isRefused) return;
    const { socket, responses } = connection;
    const begin = () => {
      connection.usedAt = performance.now();
      // Node hands over all requests of one read first. If they are too many, none is answered. A read from memory
      // takes 7 % more CPU with `nextTick`.
      void Promise.resolve().then(() => {
        if (responses[0] === response && socket.writable && connections.has(socket)) answer();
      });
    };
    if (hasBody(response.req)) response.prependOnceListener('finish', () => leaveRest(connection, response));
    response.on('close', () => {
      connection.usedAt = performance.now();
      if (response.req.complete && responses[0] === response) responses.shift();
    });
    if (responses[0]) responses[0].once('close', begin);
    else begin();
    responses.push(response);
  }

  /**
   * Handles bytes that Node's parser cannot read, and requests that do not arrive in time. Each request gets one
   * answer: a problem, if there is no answer yet. Then the broker closes the connection.
   */
  function refuse({ code = '' }: { readonly code?: string }, socket: Socket): void {
    const connection = connections.get(socket);
    // Node reports the error again for each packet that follows.
    if (!connection || connection.isRefused) return;
    connection.isRefused = true;
    // A connection that carried nothing is not a request, so it gets no answer.
    if (!socket.writable || socket.bytesRead === 0) return void socket.destroy();
    const latest = connection.responses.at(-1);
    // The bytes belong to the latest request if it is not complete. Its handler does not begin, or waits for the rest
    // forever.
    const isUnanswered = latest?.req.complete === false && !latest.headersSent;
    if (isUnanswered) connection.responses.pop();
    const last = connection.responses.at(-1);
    const end = () => endSoon(socket, isUnanswered || !last ? answerTo(code) : '');
    if (last && !last.writableFinished) last.once('finish', end);
    else end();
  }

  /** Ends the connection if its request was answered before its body arrived, unless it stays open for a short rest. */
  function leaveRest(connection: Connection, { req: request, shouldKeepAlive }: ServerResponse): void {
    if (request.complete || (shouldKeepAlive && mayArriveLate(request))) return;
    connection.isRefused = true;
    // Node would read a body to its end that nobody else has begun to read.
    request.pause().read(0);
    endSoon(connection.socket);
  }

  /** From now on, closes each connection once no request was on it for `quietMs`, and those that still send one. */
  function drain(quietMs: number): void {
    draining = { since: performance.now(), quietMs };
    sweep();
  }

  function add(socket: Socket): void {
    if (connections.size >= max) {
      makeRoom();
      onFull();
      if (connections.size >= max) return void socket.destroy();
    }
    const usedAt = performance.now();
    const connection: Connection = { socket, responses: [], usedAt, unreadSince: undefined, isRefused: false };
    connections.set(socket, connection);
    socket.on('error', () => undefined).once('close', () => connections.delete(socket));
    // One request may wait. At the head of another one, nothing is parsed any more. Node has no public way to stop its
    // parser: a destroyed socket is parsed to the end of its 64 KiB. Measured: 1,000 connections with 2,300 requests
    // each then end a replica with a heap of 256 MB, and take 2 MB and 0.2 s of CPU like this.
    const { parser } = socket as HttpSocket;
    const { onIncoming } = parser;
    parser.onIncoming = (...head) => {
      // Its answer was sent before the end of its body, which has arrived now.
      if (connection.responses[0]?.closed) connection.responses.shift();
      if (!connection.isRefused && connection.responses.length < 2) return onIncoming(...head);
      if (!connection.isRefused) close(connection);
      // Makes the parser leave the rest of the bytes, as it does behind an upgrade.
      return 2;
    };
  }

  /** Closes the longest unused connections without a session, also waiting ones. If these are few, idle others. */
  function makeRoom(): void {
    const all = [...connections.values()].sort((a, b) => a.usedAt - b.usedAt);
    const strangers = all.filter(({ socket }) => !withSession.has(socket));
    const idle = all.filter((connection) => withSession.has(connection.socket) && !isAnswering(connection));
    const closed = strangers.length > max * NEWCOMER_SHARE || idle.length === 0 ? strangers : idle;
    for (const connection of closed.slice(0, Math.ceil(closed.length * ROOM_SHARE))) close(connection);
  }

  function close({ socket }: Connection): void {
    connections.delete(socket);
    // Otherwise the system keeps bytes that the caller does not read for minutes, also without the process.
    if (socket.writableLength > 0) socket.resetAndDestroy();
    else socket.destroy();
  }

  function sweep(): void {
    const now = performance.now();
    const { since, quietMs } = draining;
    for (const connection of connections.values()) {
      connection.unreadSince = connection.socket.writableLength > 0 ? (connection.unreadSince ?? now) : undefined;
      const isUnread = now - (connection.unreadSince ?? now) >= READ_TIMEOUT_MS;
      const isTooLong = isAnswering(connection) && now - connection.usedAt >= ANSWER_TIMEOUT_MS;
      const isQuiet = !currentOf(connection) && now - Math.max(since, connection.usedAt) >= quietMs;
      if (isUnread || isTooLong || isQuiet) close(connection);
    }
  }
}

/**
 * Ends the connection. To destroy it at once would reset it while the caller still sends, and the caller would lose the
 * answer. @param isLong whether the system may hold a long answer. It would keep it after `destroy`
 */
export function endSoon(socket: Socket, lastBytes = '', isLong = false): void {
  socket.end(lastBytes);
  // Node destroys the socket of a last answer as soon as all is sent. It decides so in this turn.
  process.nextTick(() => socket.off('finish', socket.destroy));
  if (isLong) setTimeout(() => socket.resetAndDestroy(), READ_TIMEOUT_MS).unref();
  else setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
