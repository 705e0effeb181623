import { describe, expect, it } from 'vitest';
import { plainRequest } from '../../../support/plain-request.ts';
import { STATUS, startInternalApp } from '../running-internal-app.ts';

describe('GET /status', () => {
  it('answers with the report, which no cache may store', async () => {
    const { ask } = await startInternalApp();
    const { status, headers, body } = await ask('GET', '/status');
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(headers['content-type']).toContain('application/json');
    expect(JSON.parse(body)).toEqual(STATUS);
  });

  it('needs an admin token, and asks nothing without one', async () => {
    let asked = 0;
    const status = async () => {
      asked += 1;
      return STATUS;
    };
    const { origin } = await startInternalApp({ status });
    expect((await plainRequest(`${origin}/status`)).status).toBe(401);
    expect((await plainRequest(`${origin}/status`, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
    expect(asked).toBe(0);
    const withoutTokens = await startInternalApp({ adminToken: undefined });
    expect((await plainRequest(`${withoutTokens.origin}/status`)).status).toBe(404);
  });
});
