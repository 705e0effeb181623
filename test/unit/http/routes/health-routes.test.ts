import { describe, expect, it } from 'vitest';
import { type AppSettings, startApp } from '../running-app.ts';

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
  it.each<[string, AppSettings, number, object]>([
    ['if all is well', {}, 200, { status: 'ready', checks: { store: 'ok' } }],
    [
      'with the failing check',
      { readiness: async () => ({ ready: false, checks: { store: 'unreachable', sessions: 'ok' } }) },
      503,
      { status: 'not ready', checks: { store: 'unreachable', sessions: 'ok' } },
    ],
    [
      'during shutdown, whatever the checks say',
      { closing: AbortSignal.abort() },
      503,
      { status: 'not ready', checks: { replica: 'shutting down' } },
    ],
  ])('says whether the replica is ready, and why: %s', async (_when, settings, status, body) => {
    const { origin } = await startApp(settings);
    const response = await fetch(`${origin}/readyz`);
    expect([response.status, await response.json()]).toEqual([status, body]);
  });
});
