import { describe, expect, it } from 'vitest';
import { plainRequest } from '../../support/plain-request.ts';
import { UNION_ID, UNIQUE_ID } from './running-app.ts';
import { ADMIN_TOKEN, METRICS, startInternalApp } from './running-internal-app.ts';

it.each([ADMIN_TOKEN, undefined])(
  'health and metrics need no token, with and without an admin token: %s',
  async (token) => {
    const { origin } = await startInternalApp({ adminToken: token });
    expect(JSON.parse((await plainRequest(`${origin}/livez`)).body)).toEqual({ status: 'ok' });
    expect(JSON.parse((await plainRequest(`${origin}/readyz`)).body)).toMatchObject({ status: 'ready' });
    expect(await plainRequest(`${origin}/metrics`)).toMatchObject({
      status: 200,
      body: METRICS,
      headers: {
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      },
    });
  },
);

describe('the internal app', () => {
  it.each(['/sdk-token', '/docs', '/openapi.json', '/', '/accounts'])('has no %s', async (path) => {
    const { ask } = await startInternalApp();
    const answer = await ask('GET', path);
    expect(answer.status).toBe(404);
    expect(answer.headers['content-type']).toBe('application/problem+json');
  });

  it.each([
    ['PATCH', '/accounts/canary%2F1', 'GET, HEAD, DELETE'],
    ['PUT', '/accounts/lookup', 'GET, HEAD, POST, DELETE'],
    ['GET', '/accounts/canary/access-id?regRegion=DE', 'PUT'],
    ['HEAD', '/accounts/canary/terminals/canary', 'DELETE'],
    ['OPTIONS', '/accounts/canary/terminals/canary/sdk-token', 'GET, HEAD'],
    ['DELETE', '/status', 'GET, HEAD'],
  ])('tells the methods of an address, and no account: %s %s', async (method, path, allow) => {
    const { ask } = await startInternalApp();
    const answer = await ask(method, path);
    expect(answer).toMatchObject({ status: 405, headers: { allow, 'content-type': 'application/problem+json' } });
    expect(answer.body).not.toContain('canary');
  });

  it('logs no account, no terminal and no admin token', async () => {
    const { ask, log } = await startInternalApp({
      tokens: { read: () => Promise.reject(new TypeError('unforeseen')) },
    });
    await ask('GET', `/accounts/${UNION_ID}`);
    await ask('GET', `/accounts/${UNION_ID}/terminals/${UNIQUE_ID}/sdk-token`);
    await ask('GET', `/accounts/${UNION_ID}/nowhere/${UNIQUE_ID}`);
    await ask('GET', `/accounts/${UNION_ID}%zz/${UNIQUE_ID}`);
    await ask('DELETE', `/accounts/${UNION_ID}/terminals/${UNIQUE_ID}`);
    await expect.poll(() => log().match(/request answered/g)?.length).toBeGreaterThanOrEqual(4);
    expect(log()).toContain('unforeseen');
    for (const canary of [ADMIN_TOKEN, UNION_ID, UNIQUE_ID]) expect(log()).not.toContain(canary);
  });
});
