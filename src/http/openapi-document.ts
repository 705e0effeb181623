import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import fastify, { type FastifyInstance } from 'fastify';
import { silentObserver } from '../token/observer.ts';
import { internalApi, publicApi } from './openapi/description.ts';
import { accountRoutes } from './routes/accounts.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { sdkTokenRoutes } from './routes/sdk-token.ts';
import { terminalRoutes } from './routes/terminals.ts';
import { ZOD_VALIDATION } from './server/validation.ts';

const health = { readiness: neverCalled, closing: neverCalled };
const tokens = { read: neverCalled };
const accounts = { find: neverCalled, lookUp: neverCalled, logOut: neverCalled, erase: neverCalled };
const rules = { apps: [], terminalPolicy: 'multi' } as const;

/**
 * The OpenAPI 3.1 document of the public API, always the same for one version. Nothing is connected to, nothing listens.
 * @param version the service's
 */
export function openApiDocument(version: string): Promise<object> {
  const sessions = { verify: neverCalled };
  const options = {
    ...rules,
    tokens,
    accounts,
    sessions,
    sessionHeaders: undefined,
    limit: neverCalled,
    repeated: { learn: neverCalled },
    observer: silentObserver,
  };
  return documentOf(publicApi(version), async (app) => {
    await app.register(sdkTokenRoutes, options);
    await app.register(healthRoutes, health);
  });
}

/** The same of the internal API. @param version the service's */
export function internalOpenApiDocument(version: string): Promise<object> {
  return documentOf(internalApi(version), async (app) => {
    await app.register(accountRoutes, { accounts, refreshAt: neverCalled });
    await app.register(terminalRoutes, { ...rules, tokens, accounts });
    await app.register(healthRoutes, health);
    await app.register(metricsRoutes, { metrics: neverCalled });
  });
}

async function documentOf(
  description: FastifyDynamicSwaggerOptions,
  addRoutes: (app: FastifyInstance) => Promise<void>,
): Promise<object> {
  const app = fastify(ZOD_VALIDATION);
  await app.register(swagger, description);
  await addRoutes(app);
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}

function neverCalled(): never {
  throw new Error('The app that describes the API serves no requests');
}
