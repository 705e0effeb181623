import { parse } from 'node:querystring';
import type { FastifyServerOptions } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { BrokerError } from '../../token/errors.ts';

type FormatError = NonNullable<FastifyServerOptions['schemaErrorFormatter']>;
type Issue = Parameters<FormatError>[0][number];
type RequestPart = Parameters<FormatError>[1];

/**
 * The error for a request that the schemas of its route refuse. The detail names the field and says what is allowed. It
 * contains no value and no unknown name: every schema has messages of its own, and the path has only declared names.
 */
export function invalidRequest(issues: readonly Issue[], part: RequestPart): BrokerError {
  const issue = issues.find(({ keyword }) => keyword === 'unrecognized_keys') ?? issues[0];
  const [, name = '', index] = (issue?.instancePath ?? '').split('/');
  const detail = `${fieldName(part, name, index)} ${issue?.message ?? 'is not valid'}`;
  return new BrokerError('request_invalid', { detail: detail.trim() });
}

function fieldName(part: RequestPart, name: string, index: string | undefined): string {
  if (name === '') return part === 'body' ? 'The body' : '';
  if (part === 'params') return `The ${name} in the path`;
  return index === undefined ? name : `${name}[${index}]`;
}

/** Fastify options that make zod validate requests and serialize answers. */
export const ZOD_VALIDATION = {
  schemaErrorFormatter: invalidRequest,
  schemaController: {
    // Without these two, Fastify loads ajv and fast-json-stringify, which takes a twentieth of the start time.
    // The types know only those two libraries.
    compilersFactory: {
      buildValidator: (() => validatorCompiler) as never,
      buildSerializer: (() => serializerCompiler) as never,
    },
  },
} satisfies FastifyServerOptions;

/** Stands for malformed percent-encoding. Every schema refuses it; the parser itself cannot refuse a query. */
const MALFORMED = '\0';
/** After so many malformed names and values, all others count as malformed. Each takes 7 µs, and a query has 7,500. */
const MAX_MALFORMED = 10;

/** A name or value that is not percent-encoded UTF-8 becomes a NUL character. Fastify's own parser would leave it. */
export function parseQueryString(text: string): Record<string, unknown> {
  let malformed = 0;
  const decode = (part: string): string => {
    if (malformed === MAX_MALFORMED) return MALFORMED;
    try {
      return decodeURIComponent(part);
    } catch {
      malformed += 1;
      return MALFORMED;
    }
  };
  return parse(text, '&', '=', { decodeURIComponent: decode, maxKeys: 0 });
}

/** The schema of a query string that may hold these parameters, each at most once. */
export function querySchema<Shape extends z.ZodRawShape>(shape: Shape) {
  const names = Object.keys(shape);
  const allowed = names.length === 0 ? 'none is allowed' : `allowed are ${names.join(', ')}`;
  return z.strictObject(shape, { error: `Unknown query parameter; ${allowed}` });
}

/** The schema of an optional query parameter. @param allowed completes the sentence "The parameter must be …" */
export function queryParameter(pattern: RegExp, allowed: string, meaning: string) {
  const error = `must be ${allowed}`;
  return z
    .string({ error: 'may be given once' })
    .regex(pattern, { error })
    .optional()
    .meta({ description: `${meaning} Allowed: ${allowed}.` });
}
