import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import { problemResponses, responseWithBody } from '../documented-responses.ts';

/** The metrics of this replica in the Prometheus text format. */
export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

export interface MetricsRoutesOptions {
  /** Called for each `GET /metrics`. */
  readonly metrics: () => Promise<MetricsText>;
}

const EXAMPLE = [
  '# HELP sdk_token_broker_reads_total Reads of a token, by where it came from or the error they ended with.',
  '# TYPE sdk_token_broker_reads_total counter',
  'sdk_token_broker_reads_total{outcome="memory"} 1027',
].join('\n');

const metricsSchema = {
  operationId: 'getMetrics',
  summary: 'The metrics of this replica, for Prometheus',
  description: 'In the Prometheus text format 0.0.4. No label identifies an account or a terminal.',
  tags: ['metrics'],
  security: [],
  response: {
    200: responseWithBody('The metrics.', { schema: z.string(), example: EXAMPLE, mediaType: 'text/plain' }),
    ...problemResponses(['request_invalid', 'internal', 'shutting_down'], {
      request_invalid: { detail: 'The request line and the headers together may have 16 KiB' },
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
