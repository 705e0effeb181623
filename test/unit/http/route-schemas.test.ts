import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { stringify } from 'node:querystring';
import fc from 'fast-check';
import type { FastifyInstance, HTTPMethods, RouteOptions } from 'fastify';
import { expect, onTestFinished, test } from 'vitest';
import type { ZodObject } from 'zod';
import { internalOpenApiDocument, openApiDocument } from '../../../scripts/openapi-document.ts';
import { parseQueryString } from '../../../src/http/server/validation.ts';
import { SESSION, startApp } from './running-app.ts';
import { ADMIN_TOKEN, startInternalApp } from './running-internal-app.ts';

/** Without a schema, Fastify passes a path parameter or a body on unchecked. These routes read no body. */
const WITHOUT_BODY = [
  'DELETE /sdk-token',
  'DELETE /accounts/:unionId',
  'DELETE /accounts/:unionId/terminals',
  'DELETE /accounts/:unionId/terminals/:uniqueId',
  'PUT /accounts/:unionId/access-id',
];

/** Every route of the apps that `start` starts, also those that no document describes. */
async function routesOf(start: () => Promise<unknown>): Promise<RouteOptions[]> {
  const routes: RouteOptions[] = [];
  const record = (message: unknown) => {
    const { fastify } = message as { readonly fastify: FastifyInstance };
    fastify.addHook('onRoute', (route) => void routes.push(route));
  };
  subscribe('fastify.initialization', record);
  onTestFinished(() => void unsubscribe('fastify.initialization', record));
  await start();
  return routes;
}

test.each([
  ['public', startApp, 'GET /sdk-token'],
  ['internal', startInternalApp, 'GET /status'],
])('every route of the %s API has a schema, for its path parameters and its body too', async (_api, start, example) => {
  const routes = await routesOf(() => start());
  const names = routes.map(({ method, url }) => `${method} ${url}`);
  expect(names).toContain(example);
  for (const [at, { url, method, schema }] of routes.entries()) {
    const name = names[at];
    expect(schema, name).toBeDefined();
    if (/[:*]/.test(url)) expect(schema, name).toHaveProperty('params');
    const mayHaveBody = [method].flat().some((one) => ['DELETE', 'POST', 'PUT', 'PATCH'].includes(one));
    if (!mayHaveBody || WITHOUT_BODY.includes(`${name}`)) continue;
    expect(schema, `${name} has no schema of its body, and is not in WITHOUT_BODY`).toHaveProperty('body');
  }
});

test.each(WITHOUT_BODY)('%s ignores a body, and a Content-Type without a body', async (route) => {
  const [method, path = ''] = route.split(' ');
  const isPublic = path === '/sdk-token';
  const { app } = await (isPublic ? startApp() : startInternalApp());
  for (const payload of ['', '{']) {
    const headers = { authorization: `Bearer ${isPublic ? SESSION : ADMIN_TOKEN}`, 'content-type': 'application/json' };
    const url = isPublic ? `${path}?uniqueId=a` : path.replaceAll(/:\w+/g, 'a');
    const sent = { method: method as HTTPMethods, url, headers, payload };
    expect((await app.inject(sent)).statusCode).toBeLessThan(400);
  }
});

test.each([
  ['public', () => startApp({ apiDocs: false }), openApiDocument],
  ['internal', () => startInternalApp(), internalOpenApiDocument],
])('the OpenAPI document describes exactly the routes of the %s API', async (_api, start, documentOf) => {
  const routes = (await routesOf(start)).filter(({ schema }) => !schema?.hide);
  const served = routes.map(({ method, url }) => `${method} ${url.replaceAll(/:(\w+)/g, '{$1}')}`);
  const { paths } = (await documentOf('1.2.3')) as { readonly paths: Record<string, object> };
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(served.filter((route) => !route.startsWith('HEAD ')).toSorted()).toEqual(described.toSorted());
});

/** Refusals by a handler. They depend on the configuration, so the schemas accept these requests. */
const BY_CONFIGURATION = /^(app must be one of: |uniqueId is required: )/;

test.each([
  ['public', startApp, SESSION, 2],
  ['internal', startInternalApp, ADMIN_TOKEN, 7],
])('every query of the %s API is checked as its schema documents it', async (_api, start, token, count) => {
  const routes = await routesOf(() => start());
  const checked = routes.filter(({ method, schema }) => schema?.querystring && !schema.body && method !== 'HEAD');
  expect(checked).toHaveLength(count);
  const { app } = await start();
  const headers = { authorization: `Bearer ${token}` };
  const value = fc.oneof(
    fc.constantFrom('a', 'DE', 'de', '', 'a b', 'a'.repeat(64), 'a'.repeat(65), 'a'.repeat(128), 'a'.repeat(129)),
    fc.string({ unit: 'grapheme' }),
    fc.array(fc.string(), { maxLength: 2 }),
  );
  for (const { method, url, schema } of checked) {
    const query = schema?.querystring as ZodObject;
    const name = fc.constantFrom('uniqueId', 'app', 'regRegion', 'other', ...Object.keys(query.shape));
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, value, { noNullPrototype: false }), async (sent) => {
        const text = stringify(sent);
        const path = `${url.replaceAll(/:\w+/g, 'a')}?${text}`;
        const answer = await app.inject({ method: method as HTTPMethods, url: path, headers });
        const accepted = answer.statusCode !== 400 || BY_CONFIGURATION.test(answer.json().detail);
        expect(accepted, `${method} ${path}`).toBe(query.safeParse(parseQueryString(text)).success);
      }),
      { numRuns: 100 },
    );
  }
});
