import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { problemResponses, RESPONSE_HEADERS } from '../openapi/responses.ts';

/** What has been counted so far, as Prometheus reads it. */
export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

export interface MetricsRoutesOptions {
  /** Asked for each `GET /metrics`. */
  readonly metrics: () => Promise<MetricsText>;
}

const { 'X-Request-Id': requestId, 'Cache-Control': cacheControl } = RESPONSE_HEADERS;

const EXAMPLE = [
  '# HELP sdk_token_broker_reads_total Reads of a token, by where it came from or the error they ended with.',
  '# TYPE sdk_token_broker_reads_total counter',
  'sdk_token_broker_reads_total{outcome="memory"} 1027',
].join('\n');

const metricsSchema = {
  operationId: 'getMetrics',
  summary: 'What this replica has counted, for Prometheus',
  description: 'In the Prometheus text format 0.0.4. No label says anything of an account or a terminal.',
  tags: ['metrics'],
  security: [],
  response: {
    200: {
      description: 'The metrics.',
      headers: { 'X-Request-Id': requestId, 'Cache-Control': cacheControl },
      content: { 'text/plain': { schema: z.string(), examples: { example: { value: EXAMPLE } } } },
    },
    ...problemResponses(['request_invalid', 'internal', 'shutting_down'], {
      request_invalid: { detail: 'The request line and headers may have 16 KiB in all' },
    }),
  },
};

/** `GET /metrics`. */
export async function metricsRoutes(app: FastifyInstance, { metrics }: MetricsRoutesOptions): Promise<void> {
  app.get('/metrics', { schema: metricsSchema }, async (_request, reply) => {
    const { contentType, body } = await metrics();
    return reply.header('cache-control', 'no-store').type(contentType).send(body);
  });
}
