import swagger from '@fastify/swagger';
import fastify from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { apiDescription } from './api-description.ts';
import { healthRoutes } from './health-routes.ts';
import { sdkTokenRoute } from './sdk-token-route.ts';

/**
 * The OpenAPI 3.1 document of the public API, always the same for one version. Nothing is connected to, nothing listens.
 * @param version the service's
 */
export async function openApiDocument(version: string): Promise<object> {
  const app = fastify();
  app.setSerializerCompiler(serializerCompiler);
  await app.register(swagger, apiDescription(version));
  await app.register(sdkTokenRoute, { tokens: { read: neverCalled }, sessions: { verify: neverCalled }, apps: [] });
  await app.register(healthRoutes, { readiness: neverCalled, closing: neverCalled });
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}

function neverCalled(): never {
  throw new Error('The app that describes the API serves no requests');
}
