import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../../src/http/openapi-document.ts';
import { readFile } from '../../support/documents.ts';
import { eventually } from '../../support/eventually.ts';
import { plainRequest } from '../../support/plain-request.ts';
import { sendRaw } from '../../support/raw-connection.ts';
import { startApp } from './running-app.ts';

/** How often this process has the file open. */
function timesOpen(file: string): number {
  const targets = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      // It was closed in the meantime.
      return '';
    }
  });
  return targets.filter((target) => target.endsWith(file)).length;
}

describe('the documentation', () => {
  it('serves the document that the openapi command prints', async () => {
    const { version } = JSON.parse(readFile('package.json')) as { version: string };
    const document = await openApiDocument(version);
    const { origin } = await startApp();
    const response = await fetch(`${origin}/openapi.json`);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await response.json()).toEqual(document);
    expect(await (await fetch(`${origin}/docs/json`)).json()).toEqual(document);
  });

  it.skipIf(process.platform !== 'linux')(
    'closes its files when the caller goes away with answers unread',
    async () => {
      const { origin } = await startApp();
      const request = 'GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: broker\r\n\r\n';
      const callers = await Promise.all(Array.from({ length: 10 }, () => sendRaw(origin, '')));
      for (const { socket } of callers) {
        socket.pause();
        socket.write(request);
      }
      await eventually(() => timesOpen('swagger-ui-bundle.js') > 5);
      await sleep(100);
      for (const { socket } of callers) socket.resetAndDestroy();
      await eventually(() => timesOpen('swagger-ui-bundle.js') === 0);
    },
  );

  it('describes exactly the routes that the service has', async () => {
    const { app } = await startApp({ apiDocs: false });
    const served = [...app.printRoutes({ commonPrefix: false }).matchAll(/(\/\S*) \((.+)\)/g)].map(
      ([, path, methods = '']) => [path, methods.split(', ').filter((method) => method !== 'HEAD')],
    );
    const { paths } = (await openApiDocument('1.2.3')) as { paths: Record<string, object> };
    const described = Object.entries(paths).map(([path, methods]) => [
      path,
      Object.keys(methods).map((method) => method.toUpperCase()),
    ]);
    expect(served.length).toBeGreaterThan(2);
    expect(served).toEqual(described);
  });

  it('answers like every other route: with security headers, a request id, and not_found for a missing file', async () => {
    const { origin } = await startApp();
    const page = await fetch(`${origin}/docs/`, { headers: { 'x-request-id': 'mine' } });
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'x-request-id': 'mine',
      'x-content-type-options': 'nosniff',
      'content-type': 'text/html; charset=utf-8',
    });
    const style = `${origin}/docs/static/swagger-ui.css`;
    const etag = (await plainRequest(style)).headers['etag'] ?? '';
    expect(await plainRequest(style, { headers: { 'if-none-match': etag } })).toMatchObject({ status: 304, body: '' });
    const missing = await fetch(`${origin}/docs/static/none.js`);
    expect(missing.status).toBe(404);
    expect(await missing.json()).toMatchObject({ code: 'not_found' });
  });

  it('sends its files, or the requested range of a file', async () => {
    const { origin } = await startApp();
    const script = `${origin}/docs/static/swagger-ui-bundle.js`;
    const [part, head] = [
      await fetch(script, { headers: { range: 'bytes=0-9' } }),
      await fetch(script, { method: 'HEAD' }),
    ];
    expect([part.status, (await part.text()).length]).toEqual([206, 10]);
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(1_000_000);
    const beyond = await fetch(script, { headers: { range: 'bytes=99999999-' } });
    expect([beyond.status, await beyond.json()]).toMatchObject([400, { code: 'request_invalid' }]);
  });

  it('is refused during shutdown like every other route', async () => {
    const { origin } = await startApp({ closing: AbortSignal.abort() });
    const refused = await fetch(`${origin}/openapi.json`);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'shutting_down' });
  });

  it('opens at /docs with a policy that allows only its own files', async () => {
    const { origin } = await startApp();
    const page = await fetch(`${origin}/docs`);
    const html = await page.text();
    expect(page.status).toBe(200);
    expect(html).toContain('<div id="swagger-ui">');
    const policy = page.headers.get('content-security-policy') ?? '';
    for (const directive of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self' 'unsafe-inline'",
      "connect-src 'self'",
    ]) {
      expect(policy).toContain(directive);
    }
    expect(policy).not.toContain('upgrade-insecure-requests');
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)/);
    const parts = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? '');
    expect(parts.length).toBeGreaterThan(4);
    for (const part of parts) {
      expect(part).toMatch(/^\/docs\//);
      const loaded = await fetch(origin + part);
      await loaded.arrayBuffer();
      expect(loaded.status, part).toBe(200);
    }
  });

  it.each(['/docs', '/docs/', '/docs/json', '/openapi.json'])('is not_found when API_DOCS is off: %s', async (path) => {
    const { origin } = await startApp({ apiDocs: false });
    const response = await fetch(origin + path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: 'not_found' });
  });
});
