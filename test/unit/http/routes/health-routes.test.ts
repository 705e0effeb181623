import { describe, expect, it } from 'vitest';
import { startApp } from '../running-app.ts';

describe('/livez', () => {
  it('is 200 while the process is alive, even during shutdown and when nothing is ready', async () => {
    for (const closing of [new AbortController().signal, AbortSignal.abort()]) {
      const { origin } = await startApp({ closing, readiness: () => Promise.reject(new Error('down')) });
      const response = await fetch(`${origin}/livez`);
      expect(response.status).toBe(200);
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(await response.json()).toEqual({ status: 'ok' });
    }
  });
});

describe('/readyz', () => {
  it('is 200 with every check if the replica is ready', async () => {
    const { origin } = await startApp();
    const response = await fetch(`${origin}/readyz`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ready', checks: { store: 'ok' } });
  });

  it('is 503 with the failing check if the replica is not ready', async () => {
    const checks = { store: 'unreachable', sessions: 'ok' };
    const { origin } = await startApp({ readiness: async () => ({ ready: false, checks }) });
    const response = await fetch(`${origin}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'not ready', checks });
  });

  it('is 503 during shutdown, whatever the checks say', async () => {
    const { origin } = await startApp({ closing: AbortSignal.abort() });
    const response = await fetch(`${origin}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'not ready', checks: { replica: 'shutting down' } });
  });
});
