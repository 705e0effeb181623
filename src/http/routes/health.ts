import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ReadinessReport } from '../../broker/readiness.ts';
import { problemResponses, responseWithBody } from '../documented-responses.ts';

export interface HealthRoutesOptions {
  /** Whether a load balancer should send requests to this replica. Anyone can call it, so it must be cheap. */
  readonly readiness: () => Promise<ReadinessReport>;
  /** Aborted when shutdown begins. */
  readonly closing: AbortSignal;
}

const CLOSING: ReadinessReport = { ready: false, checks: { replica: 'shutting down' } };

const HEAD_TOO_LARGE = { request_invalid: { detail: 'The request line and the headers together may have 16 KiB' } };

const liveness = z.looseObject({ status: z.literal('ok') }).meta({ id: 'Liveness' });

const livezSchema = {
  operationId: 'getLiveness',
  summary: 'Whether the process is alive',
  tags: ['health'],
  security: [],
  response: {
    200: responseWithBody('The process is alive.', { schema: liveness, example: { status: 'ok' } }),
    ...problemResponses(['request_invalid'], HEAD_TOO_LARGE),
  },
};

const readiness = z
  .looseObject({
    status: z.enum(['ready', 'not ready']),
    checks: z.record(z.string(), z.string()).meta({ description: '`ok` or the fault, by dependency.' }),
  })
  .meta({ id: 'Readiness' });

const readyzSchema = {
  operationId: 'getReadiness',
  summary: 'Whether this replica can take requests',
  tags: ['health'],
  security: [],
  response: {
    200: responseWithBody('The replica can take requests.', {
      schema: readiness,
      example: { status: 'ready', checks: { store: 'ok' } },
    }),
    503: responseWithBody('The replica cannot take requests.', {
      schema: readiness,
      example: { status: 'not ready', checks: { store: 'unreachable' } },
    }),
    ...problemResponses(['request_invalid', 'internal'], HEAD_TOO_LARGE),
  },
};

/** `GET /livez` and `GET /readyz`. */
export async function healthRoutes(app: FastifyInstance, { readiness, closing }: HealthRoutesOptions): Promise<void> {
  app.get('/livez', { schema: livezSchema }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok' }),
  );

  app.get('/readyz', { schema: readyzSchema }, async (_request, reply) => {
    const { ready, checks } = closing.aborted ? CLOSING : await readiness();
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: ready ? 'ready' : 'not ready', checks });
  });
}
