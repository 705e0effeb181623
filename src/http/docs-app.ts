import swagger, { type StaticDocumentSpec } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { openApiDocument } from './openapi-document.ts';
import { type BaseAppOptions, createBaseApp } from './server/server.ts';

/** Swagger UI styles elements in place and draws with data: images; all else comes from here. */
const SWAGGER_UI_CSP = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:'],
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
};

/** Answers `GET /openapi.json` and `GET /docs`, the public API's. It does not listen. @param version the service's */
export async function createDocsApp(version: string, options: BaseAppOptions): Promise<FastifyInstance> {
  const document = await openApiDocument(version);
  const app = await createBaseApp(options);
  await app.register(swagger, { mode: 'static', specification: { document } as StaticDocumentSpec });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: SWAGGER_UI_CSP,
    theme: { title: 'sdk-token-broker' },
  });
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => reply.send(document));
  await app.ready();
  return app;
}
