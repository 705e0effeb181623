import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AppWithoutRoutesOptions } from './app-without-routes.ts';

/**
 * `GET /openapi.json` and `GET /docs`, answered by an app of their own. That is made when they are first asked for: what it
 * needs takes a sixth of the service's time to start.
 * @param version the service's
 * @param options of both apps
 */
export async function serveDocs(
  app: FastifyInstance,
  version: string,
  options: AppWithoutRoutesOptions,
): Promise<void> {
  let made: Promise<FastifyInstance> | undefined;
  const make = async (): Promise<FastifyInstance> => {
    const { createDocsApp } = await import('./docs-app.ts');
    return createDocsApp(version, options);
  };
  const answer = async ({ raw }: FastifyRequest, reply: FastifyReply): Promise<void> => {
    made ??= make();
    const docs = await made.catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    reply.hijack();
    docs.routing(raw, reply.raw);
  };
  for (const path of ['/openapi.json', '/docs', '/docs/*']) app.get(path, answer);
}
