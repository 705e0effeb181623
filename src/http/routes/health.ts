import type { FastifyInstance } from 'fastify';
import type { ReadinessReport } from '../../broker/readiness.ts';
import { type DocumentedResponse, problemResponses, RESPONSE_HEADERS } from '../openapi/responses.ts';
import { liveness, readiness as readinessAnswer } from '../openapi/schemas.ts';

export interface HealthRoutesOptions {
  /** Whether this replica should be sent requests. Asked for each `GET /readyz`, by anybody: keep it cheap. */
  readonly readiness: () => Promise<ReadinessReport>;
  /** Whether shutdown has begun. */
  readonly closing: () => boolean;
}

const CLOSING: ReadinessReport = { ready: false, checks: { replica: 'shutting down' } };

const { 'X-Request-Id': requestId, 'Cache-Control': cacheControl } = RESPONSE_HEADERS;

const UNREADABLE = { request_invalid: { detail: 'The request line and headers may have 16 KiB in all' } };

const livezSchema = {
  operationId: 'getLiveness',
  summary: 'Whether the process lives',
  tags: ['health'],
  security: [],
  response: {
    200: healthResponse('It does.', liveness, { status: 'ok' }),
    ...problemResponses(['request_invalid'], UNREADABLE),
  },
};

const readyzSchema = {
  operationId: 'getReadiness',
  summary: 'Whether this replica should be sent requests',
  tags: ['health'],
  security: [],
  response: {
    200: healthResponse('It should.', readinessAnswer, { status: 'ready', checks: { store: 'ok' } }),
    503: healthResponse('It should not.', readinessAnswer, { status: 'not ready', checks: { store: 'unreachable' } }),
    ...problemResponses(['request_invalid', 'internal'], UNREADABLE),
  },
};

/** `GET /livez` and `GET /readyz`. */
export async function healthRoutes(app: FastifyInstance, { readiness, closing }: HealthRoutesOptions): Promise<void> {
  app.get('/livez', { schema: livezSchema }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok' }),
  );

  app.get('/readyz', { schema: readyzSchema }, async (_request, reply) => {
    const { ready, checks } = closing() ? CLOSING : await readiness();
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'not ready', checks });
  });
}

function healthResponse(
  description: string,
  schema: DocumentedResponse['content'][string]['schema'],
  value: unknown,
): DocumentedResponse {
  const headers = { 'X-Request-Id': requestId, 'Cache-Control': cacheControl };
  return { description, headers, content: { 'application/json': { schema, examples: { example: { value } } } } };
}
