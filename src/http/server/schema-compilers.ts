import type { FastifyServerOptions } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';

/**
 * Schemas are zod's. They document what is asked, which handlers check once they know who is asking, and serialise what
 * is answered. Named when an app is made, these keep Fastify from loading its own, which takes a twentieth of the start.
 */
export const SCHEMA_COMPILERS = {
  compilersFactory: {
    // Types allow none but ajv's and fast-json-stringify's.
    buildValidator: (() => () => () => true) as never,
    buildSerializer: (() => serializerCompiler) as never,
  },
} satisfies FastifyServerOptions['schemaController'];
