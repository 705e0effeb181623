import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createBaseApp } from '../../../../src/http/server/server.ts';

function baseApp() {
  const app = createBaseApp({
    logger: pino({ level: 'silent' }),
    closing: new AbortController().signal,
    realm: 'test',
    bodyLimit: 1_024,
    maxConnections: 10,
  });
  onTestFinished(() => app.close());
  return app;
}

const handler = async () => 'answer';

describe('a route', () => {
  it.each([
    ['no schema', { method: 'GET', url: '/a' }, 'GET /a has no schema'],
    ['no schema for its path', { method: 'GET', url: '/a/:id', schema: {} }, 'GET /a/:id has no schema for its path'],
    ['no schema for its body', { method: 'PUT', url: '/a', schema: {} }, 'PUT /a has no schema for its body'],
  ] as const)('with %s fails the start', async (_what, route, message) => {
    const app = baseApp();
    expect(() => app.route({ ...route, handler })).toThrow(message);
  });

  it('with schemas for its path and body is accepted', async () => {
    const app = baseApp();
    app.route({
      method: 'POST',
      url: '/a/:id',
      schema: { params: z.object({ id: z.string() }), body: z.object({}) },
      handler,
    });
    await app.ready();
  });

  it('is validated by its schemas, and the refusal echoes neither a value nor an unknown name', async () => {
    const app = baseApp();
    const params = z.object({ id: z.string().regex(/^\d$/, { error: 'must be one digit' }) });
    app.route({ method: 'GET', url: '/a/:id', schema: { params }, handler });
    expect((await app.inject('/a/1')).body).toBe('answer');
    const refused = await app.inject('/a/canary');
    expect(refused.statusCode).toBe(400);
    expect(refused.json()).toMatchObject({ code: 'request_invalid', detail: 'The id in the path must be one digit' });
    expect(refused.body).not.toContain('canary');
  });
});
