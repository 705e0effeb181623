import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { publicApi } from './api-description.ts';

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

/** `GET /openapi.json` and `GET /docs`, of the routes registered after this. @param version the service's */
export async function serveDocs(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, publicApi(version));
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: SWAGGER_UI_CSP,
    theme: { title: 'sdk-token-broker' },
  });
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => reply.send(app.swagger()));
}
