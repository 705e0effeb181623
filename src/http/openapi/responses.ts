import type { z } from 'zod';
import { BrokerError, type BrokerErrorOptions, ERRORS, type ErrorCode } from '../../token/errors.ts';
import { PROBLEM_CONTENT_TYPE, problemAnswer, WAIT_STATUSES } from '../problem.ts';
import { problem } from './schemas.ts';

/** What every operation behind the admin token needs. */
export const ADMIN_SECURITY = [{ adminToken: [] }];

/** What every operation behind the admin token that asks the store alone may fail with. */
export const ADMIN_ERRORS: readonly ErrorCode[] = [
  'request_invalid',
  'session_missing',
  'session_invalid',
  'internal',
  'store_unavailable',
  'shutting_down',
];

interface HeaderSchema {
  readonly type: 'string' | 'integer';
  readonly description: string;
}

/** A response as a route declares it and the OpenAPI document tells it. */
export interface DocumentedResponse {
  readonly description: string;
  readonly headers: Readonly<Record<string, HeaderSchema>>;
  /** By media type; none where there is no body. */
  readonly content: Readonly<
    Record<string, { readonly schema: z.ZodType; readonly examples: Readonly<Record<string, { value: unknown }>> }>
  >;
}

export const RESPONSE_HEADERS = {
  'X-Request-Id': { type: 'string', description: 'Names this request in our logs: yours, or a fresh one.' },
  ETag: { type: 'string', description: 'Changes with the token.' },
  'Cache-Control': { type: 'string', description: 'Always `no-store`.' },
  'Retry-After': { type: 'integer', description: 'Seconds after which to try again.' },
  'WWW-Authenticate': { type: 'string', description: 'RFC 6750, section 3.' },
} as const satisfies Record<string, HeaderSchema>;

const EXAMPLE_REQUEST_ID = '5f0c2b8e-6a5e-4a0d-9d53-0b8a1f1d7c11';

type Examples = Readonly<Partial<Record<ErrorCode, BrokerErrorOptions>>>;

/** The responses of these errors by status, each error with an example, which may be told more of. */
export function problemResponses(codes: readonly ErrorCode[], examples: Examples): Record<number, DocumentedResponse> {
  const statuses = [...new Set(codes.map((code) => ERRORS[code].status))].sort((a, b) => a - b);
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      problemResponse(
        status,
        codes.filter((code) => ERRORS[code].status === status),
        examples,
      ),
    ]),
  );
}

function problemResponse(status: number, codes: readonly ErrorCode[], examples: Examples): DocumentedResponse {
  const { 'X-Request-Id': requestId, 'Retry-After': retryAfter, 'WWW-Authenticate': challenge } = RESPONSE_HEADERS;
  return {
    description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(' '),
    headers: {
      'X-Request-Id': requestId,
      ...(WAIT_STATUSES.has(status) && { 'Retry-After': retryAfter }),
      ...(status === 401 && { 'WWW-Authenticate': challenge }),
    },
    content: {
      [PROBLEM_CONTENT_TYPE]: {
        schema: problem,
        examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code, examples[code]) }])),
      },
    },
  };
}

function exampleOf(code: ErrorCode, options: BrokerErrorOptions = {}): unknown {
  const answer = problemAnswer(new BrokerError(code, options), EXAMPLE_REQUEST_ID);
  return JSON.parse(JSON.stringify(answer.problem));
}
