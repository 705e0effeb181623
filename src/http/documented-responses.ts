import * as z from 'zod';
import { BrokerError, ERRORS, type ErrorCode } from '../token/errors.ts';
import { PROBLEM_CONTENT_TYPE, problem, problemAnswer, WAIT_STATUSES } from './problem.ts';

/** The errors of an operation that needs a bearer token and calls only the store. */
export const STORE_CALL_ERRORS: readonly ErrorCode[] = [
  'request_invalid',
  'session_missing',
  'session_invalid',
  'internal',
  'store_unavailable',
  'shutting_down',
];

/** The errors of an operation that needs an admin token and calls only the store. */
export const ADMIN_CALL_ERRORS: readonly ErrorCode[] = [...STORE_CALL_ERRORS, 'rate_limited'];

const HEADERS = {
  'X-Request-Id': {
    type: 'string',
    description: 'The id of this request in the logs: the one you sent, or a new one.',
  },
  ETag: { type: 'string', description: 'Changes with the token.' },
  'Cache-Control': { type: 'string', description: 'Always `no-store`.' },
  'Retry-After': { type: 'integer', description: 'Seconds to wait before the next attempt.' },
  'WWW-Authenticate': { type: 'string', description: 'RFC 6750, section 3.' },
} as const;

type HeaderName = keyof typeof HEADERS;

/** A response as a route declares it. Fastify serializes by its schema, and the OpenAPI document shows all of it. */
export interface DocumentedResponse {
  readonly description: string;
  readonly headers: Readonly<Partial<Record<HeaderName, object>>>;
  /** By media type. Empty if the response has no body. */
  readonly content: Readonly<
    Record<string, { readonly schema: z.ZodType; readonly examples?: Readonly<Record<string, { value: unknown }>> }>
  >;
}

interface Body {
  readonly schema: z.ZodType;
  /** Without it, the descriptions of the fields say enough. */
  readonly example?: unknown;
  /** Default `application/json`. */
  readonly mediaType?: string;
}

/** An object in an answer. A later version may add fields to it. The type has those of this version. */
export function open<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape> {
  return z.looseObject(shape) as unknown as z.ZodObject<Shape>;
}

/** A time in an answer, as {@link isoTime} writes it. */
export const instant = z.string().meta({ format: 'date-time' });

export function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** A response with a body, which no cache may store. @param headers names of its headers besides the usual ones */
export function responseWithBody(
  description: string,
  { schema, example, mediaType = 'application/json' }: Body,
  ...headers: readonly HeaderName[]
): DocumentedResponse {
  return {
    description,
    headers: documentedHeaders('X-Request-Id', ...headers, 'Cache-Control'),
    content: { [mediaType]: { schema, ...(example !== undefined && { examples: { example: { value: example } } }) } },
  };
}

/** A response without a body. @param headers names of its headers besides `X-Request-Id` */
export function emptyResponse(description: string, ...headers: readonly HeaderName[]): DocumentedResponse {
  return { description, headers: documentedHeaders('X-Request-Id', ...headers), content: {} };
}

function documentedHeaders(...names: readonly HeaderName[]): DocumentedResponse['headers'] {
  return Object.fromEntries(names.map((name) => [name, HEADERS[name]]));
}

const EXAMPLE_REQUEST_ID = '5f0c2b8e-6a5e-4a0d-9d53-0b8a1f1d7c11';

/** The responses for these errors by status, with an example of each error. */
export function problemResponses(codes: readonly ErrorCode[]): Record<number, DocumentedResponse> {
  const statuses = [...new Set(codes.map((code) => ERRORS[code].status))].sort((one, other) => one - other);
  const codesOf = (status: number) => codes.filter((code) => ERRORS[code].status === status);
  return Object.fromEntries(statuses.map((status) => [status, problemResponse(status, codesOf(status))]));
}

function problemResponse(status: number, codes: readonly ErrorCode[]): DocumentedResponse {
  const headers: HeaderName[] = [];
  if (WAIT_STATUSES.has(status)) headers.push('Retry-After');
  if (status === 401) headers.push('WWW-Authenticate');
  return {
    description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(' '),
    headers: documentedHeaders('X-Request-Id', ...headers),
    content: {
      [PROBLEM_CONTENT_TYPE]: {
        schema: problem,
        examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code) }])),
      },
    },
  };
}

function exampleOf(code: ErrorCode): unknown {
  const answer = problemAnswer(new BrokerError(code), EXAMPLE_REQUEST_ID);
  return JSON.parse(JSON.stringify(answer.problem));
}
