import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import fastify, { type FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type * as z from 'zod';
import type { DocumentedResponse } from '../src/http/documented-responses.ts';
import { addGuardedRoutes, addOpenRoutes } from '../src/http/internal-app.ts';
import { healthRoutes } from '../src/http/routes/monitoring.ts';
import { sdkTokenRoutes } from '../src/http/routes/sdk-token.ts';
import { ZOD_VALIDATION } from '../src/http/server/validation.ts';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;
type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;

interface DocumentedRoute {
  /** Request headers. Fastify does not check these: it would copy all headers of each request to do so. */
  readonly documentedHeaders?: z.ZodType;
}

/** The transform of fastify-type-provider-zod, and what it leaves out: response headers and examples. */
const transform: Transform = (route) => {
  const { documentedHeaders: headers, ...rest } = route.schema as DocumentedRoute;
  const { schema, url } = jsonSchemaTransform({ ...route, schema: headers ? { ...rest, headers } : rest });
  const declared = (route.schema?.response ?? {}) as Record<string, DocumentedResponse>;
  const converted = schema.response as Record<string, { content: Record<string, object> }>;
  const response = Object.entries(declared).map(([status, { description, headers, content }]) => {
    const body = Object.entries(content).map(([mediaType, { examples }]) => [
      mediaType,
      { ...converted[status]?.content[mediaType], examples },
    ]);
    // @fastify/swagger takes `null` for a response without a body.
    return [
      status,
      { description, headers, ...(body.length > 0 ? { content: Object.fromEntries(body) } : { type: 'null' }) },
    ];
  });
  return { schema: { ...schema, response: Object.fromEntries(response) }, url };
};

/**
 * The transform of the same library, without the named schemas that this document does not refer to. Sorted by name.
 */
const transformObject: TransformObject = (document) => {
  const described = jsonSchemaTransformObject(document);
  const { components = {} } = described as { components?: { schemas?: object } };
  const paths = JSON.stringify(described.paths);
  const referenced = Object.entries(components.schemas ?? {}).filter(([name]) =>
    paths.includes(`"#/components/schemas/${name}"`),
  );
  components.schemas = Object.fromEntries(referenced.sort(([one], [other]) => (one < other ? -1 : 1)));
  return described;
};

const PROBLEMS =
  'Every error is an RFC 9457 problem. Check its `code`, wait `Retry-After` seconds before a retry, and quote `requestId` when you ask for help.';
const HEALTH = { name: 'health', description: 'For load balancers and orchestrators.' };

const health = { readiness: neverCalled, closing: AbortSignal.abort() };
const accounts = { logOut: neverCalled, logOutEverywhere: neverCalled, erase: neverCalled };
const rules = { apps: [], terminalPolicy: 'multi' } as const;

/** The OpenAPI 3.1 document of the public API, always the same for one version of the service. Opens no connection. */
export function openApiDocument(version: string): Promise<object> {
  const info = {
    title: 'sdk-token-broker',
    version,
    description:
      "Gives a camera app the token that its SDK needs to log in to the vendor's cloud. The app sends its own session. The " +
      `broker checks it, logs in to the vendor, stores the token and renews it before it expires. ${PROBLEMS}`,
  };
  const servers = [{ url: '/', description: 'The server of this document.' }];
  const tags = [{ name: 'sdk-token', description: 'The token of one account on one terminal.' }, HEALTH];
  const session = {
    type: 'http',
    scheme: 'bearer',
    description:
      "The app's session with its own cloud. `SESSION_MODE` says how the broker checks it. `jwt`: a signed JWT. " +
      '`introspection`: an access token that an OAuth server checks (RFC 7662). `forward`: the headers of ' +
      "`SESSION_FORWARD_HEADERS`, for example cookies, that the app's cloud checks.",
  } as const;
  return documentOf({ info, servers, tags, components: { securitySchemes: { session } } }, async (app) => {
    await withSecurity(app, [{ session: [] }], (scope) =>
      sdkTokenRoutes(scope, { ...rules, tokenFor: neverCalled, accounts }),
    );
    await withSecurity(app, [], (scope) => healthRoutes(scope, health));
  });
}

/** The OpenAPI 3.1 document of the internal API, like {@link openApiDocument}. */
export function internalOpenApiDocument(version: string): Promise<object> {
  const info = {
    title: 'sdk-token-broker, internal',
    version,
    description:
      "For the customer's own cloud and the operators. Never expose it to the internet. Without an admin token it serves " +
      `only health and metrics. ${PROBLEMS}`,
  };
  const servers = [{ url: '/', description: 'ADMIN_HOST and ADMIN_PORT of any replica.' }];
  const tags = [
    { name: 'accounts', description: 'Look at an account, find it, log it out, erase it.' },
    { name: 'terminals', description: 'One account on one terminal (phone).' },
    { name: 'status', description: 'For operators.' },
    HEALTH,
    { name: 'metrics', description: 'For Prometheus.' },
  ];
  const adminToken = {
    type: 'http',
    scheme: 'bearer',
    description: '`ADMIN_TOKEN`, or a token of `ADMIN_TOKENS`.',
  } as const;
  return documentOf({ info, servers, tags, components: { securitySchemes: { adminToken } } }, async (app) => {
    const accountStore = { find: neverCalled, lookUp: neverCalled, identify: neverCalled };
    const accessIds = { obtain: neverCalled };
    const view = { refreshAt: neverCalled, terminalLimit: 20 };
    const tokens = { read: neverCalled };
    await withSecurity(app, [{ adminToken: [] }], (scope) =>
      addGuardedRoutes(scope, {
        ...rules,
        ...view,
        accounts,
        accountStore,
        accessIds,
        tokens,
        status: neverCalled,
      }),
    );
    const adminTokens = { isEmpty: false, callerOf: neverCalled };
    await withSecurity(app, [], (scope) => addOpenRoutes(scope, { ...health, adminTokens, metrics: neverCalled }));
  });
}

/** Adds routes, and documents the security that all of them have. */
async function withSecurity(
  app: FastifyInstance,
  security: readonly Readonly<Record<string, string[]>>[],
  addRoutes: (scope: FastifyInstance) => Promise<void>,
): Promise<void> {
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.schema = { ...route.schema, security };
    });
    await addRoutes(scope);
  });
}

async function documentOf(
  { info, ...description }: NonNullable<FastifyDynamicSwaggerOptions['openapi']> & { info: object },
  addRoutes: (app: FastifyInstance) => Promise<void>,
): Promise<object> {
  const license = { name: 'MIT', identifier: 'MIT' };
  const openapi = { openapi: '3.1.0', info: { ...info, license }, ...description };
  const app = fastify(ZOD_VALIDATION);
  await app.register(swagger, { openapi, transform, transformObject });
  await addRoutes(app);
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}

function neverCalled(): never {
  throw new Error('The app that describes the API serves no requests');
}
