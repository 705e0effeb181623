import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { DocumentedResponse } from './documented-response.ts';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;
type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;

/** fastify-type-provider-zod's transform, which leaves response headers and examples out. */
export const transform: Transform = (route) => {
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
export const transformObject: TransformObject = (document) => {
  const described = jsonSchemaTransformObject(document);
  const schemas = ('components' in described && described.components?.schemas) || {};
  const paths = JSON.stringify(described.paths);
  for (const name of Object.keys(schemas)) {
    if (!paths.includes(`"#/components/schemas/${name}"`)) delete schemas[name];
  }
  return described;
};
