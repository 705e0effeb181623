import { validatorCompiler } from 'fastify-type-provider-zod';
import { expect } from 'vitest';
import type { z } from 'zod';
import { invalidRequest } from '../../../src/http/server/validation.ts';

type RequestPart = Parameters<typeof invalidRequest>[1];
type Issues = Parameters<typeof invalidRequest>[0];

/** Validates a part of a request as Fastify does. @throws BrokerError */
export function validated<Schema extends z.ZodType>(
  schema: Schema,
  httpPart: RequestPart,
  value: unknown,
): z.infer<Schema> {
  const validate = validatorCompiler({ schema, httpPart, method: 'GET', url: '/' });
  const { error, value: result } = validate(value) as { error?: Issues; value?: z.infer<Schema> };
  if (error) throw invalidRequest(error, httpPart);
  return result as z.infer<Schema>;
}

/** The error detail for a part of a request that the schema must refuse. */
export function refusalDetail(schema: z.ZodType, httpPart: RequestPart, value: unknown): string {
  try {
    validated(schema, httpPart, value);
  } catch (error) {
    expect(error).toMatchObject({ code: 'request_invalid' });
    return (error as Error).message;
  }
  throw new Error('accepted');
}
