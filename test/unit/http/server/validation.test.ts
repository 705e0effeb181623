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
