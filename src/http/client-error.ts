import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import { BrokerError } from '../token/errors.ts';
import { problemAnswer } from './problem.ts';
import { freshRequestId } from './request-id.ts';

const DETAILS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'The request line and headers may have 16 KiB in all',
  ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time',
};

/** Answers what Node's parser gave up on, before there was a request: a problem written to the socket, which then ends. */
export function answerClientError(error: { readonly code?: string }, socket: Socket, log: FastifyBaseLogger): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = freshRequestId();
  // Never the error itself: it carries the raw packet.
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
