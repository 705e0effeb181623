import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../../scripts/openapi-document.ts';
import { readFile } from '../../support/documents.ts';
import { eventually } from '../../support/eventually.ts';
import { sendRaw } from '../../support/raw-connection.ts';
import { startApp } from './running-app.ts';

describe('the documentation', () => {
  it('serves the document that the openapi command prints', async () => {
    const { version } = JSON.parse(readFile('package.json')) as { version: string };
    const document = await openApiDocument(version);
    const { origin } = await startApp();
    const response = await fetch(`${origin}/openapi.json`);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await response.json()).toEqual(document);
  });

  it('keeps one copy of a file in memory, however many answers are unread', async () => {
    const { origin } = await startApp();
    const script = `${origin}/docs/swagger-ui-bundle.js`;
    const { length } = await (await fetch(script)).text();
    const before = process.memoryUsage().external;
    const callers = await Promise.all(Array.from({ length: 40 }, () => sendRaw(origin, '')));
    for (const { socket } of callers) {
      socket.pause();
      socket.write('GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: broker\r\n\r\n');
    }
    await eventually(() => callers.every(({ socket }) => socket.bytesRead > 0 || socket.readableLength > 0));
    await sleep(100);
    expect(process.memoryUsage().external - before).toBeLessThan(5 * length);
    for (const { socket } of callers) socket.resetAndDestroy();
  });

  it('has less than 2 MB of files', async () => {
    const { origin } = await startApp();
    const page = await (await fetch(`${origin}/docs`)).text();
    const parts = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path);
    const files = await Promise.all(['docs', 'openapi.json', ...parts].map((path) => fetch(`${origin}/${path}`)));
    expect(new Set(files.map(({ status }) => status))).toEqual(new Set([200]));
    const sizes = await Promise.all(files.map(async (file) => (await file.arrayBuffer()).byteLength));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2_000_000);
  });

  it('answers like every other route: with security headers, a request id, and not_found for a missing file', async () => {
    const { origin } = await startApp();
    const page = await fetch(`${origin}/docs`, { headers: { 'x-request-id': 'mine' } });
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'x-request-id': 'mine',
      'x-content-type-options': 'nosniff',
      'content-type': 'text/html; charset=utf-8',
    });
    const missing = await fetch(`${origin}/docs/none.js`);
    expect(missing.status).toBe(404);
    expect(await missing.json()).toMatchObject({ code: 'not_found' });
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
      expect(part).toMatch(/^docs\//);
      const loaded = await fetch(new URL(part, page.url));
      await loaded.arrayBuffer();
      expect(loaded.status, part).toBe(200);
    }
  });

  it.each(['/docs', '/docs/docs.js', '/openapi.json'])('is not_found when API_DOCS is off: %s', async (path) => {
    const { origin } = await startApp({ apiDocs: false });
    const response = await fetch(origin + path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: 'not_found' });
  });
});
