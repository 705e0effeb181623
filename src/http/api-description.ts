import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { DocumentedResponse } from './documented-response.ts';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;
type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;

/** What @fastify/swagger is told of the public API. @param version the service's */
export function apiDescription(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'sdk-token-broker',
        version,
        description:
          "Hands a camera app's SDK the token it logs in to the vendor with. The app sends its own session; the broker " +
          'checks it, logs in to the vendor, keeps the token and renews it before it expires. Every error is an RFC 9457 ' +
          'problem: branch on `code`, wait as `Retry-After` says, quote `requestId` when asking for help.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/', description: 'Where this document was served from.' }],
      tags: [
        { name: 'sdk-token', description: 'The token of one account on one terminal.' },
        { name: 'health', description: 'For load balancers and orchestrators.' },
      ],
      components: {
        securitySchemes: {
          session: { type: 'http', scheme: 'bearer', description: 'The session the app has with its own cloud.' },
        },
      },
    },
    transform,
    transformObject,
  };
}

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

/** The same library's, which keeps every named schema twice: as an input too, where ours are answers only. */
const transformObject: TransformObject = (document) => {
  const described = jsonSchemaTransformObject(document);
  const schemas = ('components' in described && described.components?.schemas) || {};
  for (const name of Object.keys(schemas)) {
    if (name.endsWith('Input')) delete schemas[name];
  }
  return described;
};
