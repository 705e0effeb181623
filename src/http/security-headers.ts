import helmet from '@fastify/helmet';
import fastify from 'fastify';
import { SCHEMA_COMPILERS } from './schema-compilers.ts';

let asked: Promise<Readonly<Record<string, string>>> | undefined;

/**
 * The headers helmet sets for an API without markup of its own. Asked of it once: it works them out anew for each
 * request, which takes as long as everything else a token read does.
 */
export function securityHeaders(): Promise<Readonly<Record<string, string>>> {
  asked ??= askHelmet();
  return asked;
}

async function askHelmet(): Promise<Readonly<Record<string, string>>> {
  const app = fastify({ schemaController: SCHEMA_COMPILERS });
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  app.get('/', (_request, reply) => reply.send(reply.getHeaders()));
  const answer = await app.inject('/');
  await app.close();
  return answer.json();
}
