import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { BrokerError } from '../token/errors.ts';

/** Of a connection that is not ours, or set for each answer anew. */
const NOT_PASSED_ON = ['connection', 'date', 'transfer-encoding'];

/**
 * `GET /openapi.json` and `GET /docs`, as an app of their own answers them. That is made when they are first asked for:
 * what it needs takes a fifth of the service's time to start.
 * @param version the service's
 */
export async function serveDocs(app: FastifyInstance, version: string): Promise<void> {
  let made: Promise<FastifyInstance> | undefined;
  const answer = async ({ url, headers }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    made ??= import('./docs-app.ts').then(({ createDocsApp }) => createDocsApp(version));
    const docs = await made;
    const answered = await docs.inject({ method: 'GET', url, headers });
    if (answered.statusCode === 404) throw new BrokerError('not_found');
    const kept = Object.entries(answered.headers).filter(([name]) => !NOT_PASSED_ON.includes(name));
    return reply.code(answered.statusCode).headers(Object.fromEntries(kept)).send(answered.rawPayload);
  };
  for (const path of ['/openapi.json', '/docs', '/docs/*']) app.get(path, answer);
}
