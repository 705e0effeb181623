import { setImmediate } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ReadinessReport } from '../../broker/readiness.ts';
import { problemResponses, responseWithBody } from '../documented-responses.ts';
import type { AppContext } from '../server/request-hooks.ts';

export interface HealthRoutesOptions extends Pick<AppContext, 'closing'> {
  /** Whether a load balancer should send requests to this replica. Anyone can call it, so it must be cheap. */
  readonly readiness: () => Promise<ReadinessReport>;
}

const CLOSING: ReadinessReport = { ready: false, checks: { replica: 'shutting down' } };

const liveness = z.looseObject({ status: z.literal('ok') }).meta({ id: 'Liveness' });

const livezSchema = {
  operationId: 'getLiveness',
  summary: 'Whether the process is alive',
  tags: ['health'],
  response: {
    200: responseWithBody('The process is alive.', { schema: liveness, example: { status: 'ok' } }),
    ...problemResponses(['request_invalid']),
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
  response: {
    200: responseWithBody('The replica can take requests.', {
      schema: readiness,
      example: { status: 'ready', checks: { store: 'ok' } },
    }),
    503: responseWithBody('The replica cannot take requests.', {
      schema: readiness,
      example: { status: 'not ready', checks: { store: 'unreachable' } },
    }),
    ...problemResponses(['request_invalid', 'internal']),
  },
};

/** `GET /livez` and `GET /readyz`. */
export async function healthRoutes(app: FastifyInstance, { readiness, closing }: HealthRoutesOptions): Promise<void> {
  app.get('/livez', { schema: livezSchema }, async (_request, reply) => reply.send({ status: 'ok' }));

  app.get('/readyz', { schema: readyzSchema }, async (_request, reply) => {
    const { ready, checks } = closing.aborted ? CLOSING : await readiness();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', checks });
  });
}

export interface MetricsRoutesOptions {
  /** Gives the metrics of this replica in the Prometheus text format. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
}

const metricsSchema = {
  operationId: 'getMetrics',
  summary: 'The metrics of this replica, for Prometheus',
  description: 'In the Prometheus text format 0.0.4. No label identifies an account or a terminal.',
  tags: ['metrics'],
  response: {
    200: responseWithBody('The metrics.', { schema: z.string(), mediaType: 'text/plain' }),
    ...problemResponses(['request_invalid', 'internal', 'shutting_down']),
  },
};

/** `GET /metrics`. */
export async function metricsRoutes(app: FastifyInstance, { metrics }: MetricsRoutesOptions): Promise<void> {
  let next: ReturnType<typeof metrics> | undefined;
  /** Callers of one turn of the event loop share an answer. It takes 1 ms, and the call needs no admin token. */
  const inNextTurn: typeof metrics = async () => {
    await setImmediate();
    next = undefined;
    return metrics();
  };

  app.get('/metrics', { schema: metricsSchema }, async (_request, reply) => {
    next ??= inNextTurn();
    const { contentType, body } = await next;
    return reply.type(contentType).send(body);
  });
}
