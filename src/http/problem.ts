import type { FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';
import { challengeFor } from './credentials.ts';
import type { RefusalLog } from './refusal-log.ts';

export const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    detail: z.string().optional().meta({ description: 'The field that is wrong and the values that are allowed.' }),
    retryable: z.boolean().meta({ description: 'Whether the same request may succeed later, unchanged.' }),
    requestId: z.string(),
    vendorCode: z.int().optional().meta({ description: "The vendor's result code." }),
  })
  .meta({ id: 'Problem', description: 'An error (RFC 9457). Programs should check `code`.' });

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

/** Statuses that come with `Retry-After`. */
export const WAIT_STATUSES: ReadonlySet<number> = new Set([429, 503, 504]);
const DEFAULT_RETRY_AFTER_SECONDS = 5;

/** Details for Fastify's own errors, by their codes. Fastify's messages would echo the request. */
const FRAMEWORK_DETAILS: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'The path must be valid percent-encoded UTF-8',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is too large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'A body needs Content-Type: application/json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body must be JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'The body must be JSON, but it is empty',
};

/** Turns any thrown value into a BrokerError: a 4xx of Fastify becomes `request_invalid`, all else `internal`. */
export function asBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown;
  const { statusCode = 500, code = '' } = (thrown ?? {}) as { statusCode?: number; code?: string };
  if (statusCode < 400 || statusCode > 499) return new BrokerError('internal', { cause: thrown });
  const detail = FRAMEWORK_DETAILS[code];
  return new BrokerError('request_invalid', { cause: thrown, ...(detail !== undefined && { detail }) });
}

/** The bytes of a complete answer, for a request that Fastify cannot answer because Node could not read it. */
export function rawProblemAnswer(error: BrokerError, requestId: string): string {
  const { problem, headers } = problemAnswer(error, requestId);
  const body = JSON.stringify(problem);
  const length = String(Buffer.byteLength(body));
  const head = { ...headers, 'x-request-id': requestId, 'content-length': length, connection: 'close' };
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${problem.status} Bad Request\r\n${lines.join('')}\r\n${body}`;
}

/** The body of an error's answer, and its headers except `WWW-Authenticate`. */
export function problemAnswer(error: BrokerError, requestId: string) {
  const { status, retryable } = ERRORS[error.code];
  const retryAfter = error.retryAfter ?? (WAIT_STATUSES.has(status) ? DEFAULT_RETRY_AFTER_SECONDS : undefined);
  return {
    problem: {
      type: `urn:sdk-token-broker:problem:${error.code}`,
      title: error.title,
      status,
      code: error.code,
      detail: error.detail,
      retryable,
      requestId,
      vendorCode: error.vendorCode,
    } satisfies z.infer<typeof problem>,
    headers: {
      'content-type': PROBLEM_CONTENT_TYPE,
      'cache-control': 'no-store',
      ...(retryAfter !== undefined && { 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) }),
    },
  };
}

/** Answers with the problem for a thrown value, and logs it. @param onRefusal is called with each code */
export function problemReply(realm: string, refusals: RefusalLog, onRefusal: ((code: ErrorCode) => void) | undefined) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = asBrokerError(thrown);
    refusals.add(error, request);
    onRefusal?.(error.code);
    const { problem, headers } = problemAnswer(error, request.id);
    const challenge = challengeFor(error.code, realm);
    if (challenge !== undefined) reply.header('www-authenticate', challenge);
    // Fastify does not serialize a buffer, and adds no charset, which this media type does not have.
    return reply
      .code(problem.status)
      .headers(headers)
      .send(Buffer.from(JSON.stringify(problem)));
  };
}
