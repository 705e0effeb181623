import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { DocumentedResponse } from './responses.ts';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;
type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;

/** fastify-type-provider-zod's transform, which leaves response headers and examples out. */
const transform: Transform = (route) => {
  const { schema, url } = jsonSchemaTransform(route);
  const declared = (route.schema?.response ?? {}) as Record<string, DocumentedResponse>;
  const converted = schema.response as Record<string, { content: Record<string, object> }>;
  const response = Object.entries(declared).map(([status, { description, headers, content }]) => {
    const body = Object.entries(content).map(([mediaType, { examples }]) => [
      mediaType,
      { ...converted[status]?.content[mediaType], examples },
    ]);
    // `null` is how @fastify/swagger is told of an answer without a body.
    return [
      status,
      { description, headers, ...(body.length > 0 ? { content: Object.fromEntries(body) } : { type: 'null' }) },
    ];
  });
  return { schema: { ...schema, response: Object.fromEntries(response) }, url };
};

/** The same library's, which keeps every named schema of the process, and each twice: we keep those that are referred to. */
const transformObject: TransformObject = (document) => {
  const described = jsonSchemaTransformObject(document);
  const schemas = ('components' in described && described.components?.schemas) || {};
  const paths = JSON.stringify(described.paths);
  for (const name of Object.keys(schemas)) {
    if (!paths.includes(`"#/components/schemas/${name}"`)) delete schemas[name];
  }
  return described;
};

const PROBLEMS =
  'Every error is an RFC 9457 problem: branch on `code`, wait as `Retry-After` says, quote `requestId` when asking for ' +
  'help.';
const LICENSE = { name: 'MIT', identifier: 'MIT' };
const HEALTH = { name: 'health', description: 'For load balancers and orchestrators.' };

/** What @fastify/swagger is told of the public API. @param version the service's */
export function publicApi(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'sdk-token-broker',
        version,
        description:
          "Hands a camera app's SDK the token it logs in to the vendor with. The app sends its own session; the broker " +
          `checks it, logs in to the vendor, keeps the token and renews it before it expires. ${PROBLEMS}`,
        license: LICENSE,
      },
      servers: [{ url: '/', description: 'Where this document was served from.' }],
      tags: [{ name: 'sdk-token', description: 'The token of one account on one terminal.' }, HEALTH],
      components: {
        securitySchemes: {
          session: {
            type: 'http',
            scheme: 'bearer',
            description:
              "The app's session with its own cloud. `SESSION_MODE` says how the broker checks it. `jwt`: a signed JWT. " +
              '`introspection`: an access token that an OAuth server checks (RFC 7662). `forward`: the headers of ' +
              "`SESSION_FORWARD_HEADERS`, for example cookies, that the app's cloud checks.",
          },
        },
      },
    },
    transform,
    transformObject,
  };
}

/** What @fastify/swagger is told of the internal API. @param version the service's */
export function internalApi(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'sdk-token-broker, internal',
        version,
        description:
          "For the customer's own cloud and for who runs the service; never to be reached from the internet. Without " +
          `\`ADMIN_TOKEN\` there are health and metrics alone. ${PROBLEMS}`,
        license: LICENSE,
      },
      servers: [{ url: '/', description: 'ADMIN_HOST and ADMIN_PORT of any replica.' }],
      tags: [
        { name: 'accounts', description: 'What is known of an account, and its end.' },
        { name: 'terminals', description: 'One account on one terminal (phone).' },
        HEALTH,
        { name: 'metrics', description: 'For Prometheus.' },
      ],
      components: {
        securitySchemes: { adminToken: { type: 'http', scheme: 'bearer', description: '`ADMIN_TOKEN`.' } },
      },
    },
    transform,
    transformObject,
  };
}
