import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../../scripts/openapi-document.ts';
import { readFile } from '../../support/documents.ts';
import { eventually } from '../../support/eventually.ts';
import { plainRequest } from '../../support/plain-request.ts';
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
    const length = Number((await plainRequest(script)).headers['content-length']);
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

  it('compresses its large files, ends their connections, and answers 304 to a caller that has them', async () => {
    const { origin } = await startApp();
    for (const file of ['swagger-ui-bundle.js', 'swagger-ui.css']) {
      const url = `${origin}/docs/${file}`;
      // One after the other, each frees its place at once.
      for (let time = 0; time < 40; time += 1) expect((await plainRequest(url)).headers.connection).toBe('close');
      const { headers, body } = await plainRequest(url);
      expect(headers).toMatchObject({ 'content-encoding': 'gzip', 'cache-control': 'no-cache' });
      expect(Number(headers['content-length'])).toBeLessThan(500_000);
      expect(body).not.toBe('');
      const known = await plainRequest(url, { headers: { 'if-none-match': headers.etag ?? '' } });
      expect([known.status, known.body]).toEqual([304, '']);
    }
  });

  it('opens at /docs with a policy that allows only its own files, which have less than 2 MB', async () => {
    const { origin } = await startApp();
    const page = await plainRequest(`${origin}/docs`, { headers: { 'x-request-id': 'mine' } });
    expect(page.headers).toMatchObject({ 'x-request-id': 'mine', 'content-type': 'text/html; charset=utf-8' });
    expect(page.headers['content-security-policy']).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; .*connect-src 'self'/,
    );
    expect(page.headers['content-security-policy']).not.toContain('upgrade-insecure-requests');
    expect(page.body).toContain('<div id="swagger-ui">');
    expect(page.body).not.toMatch(/<script(?![^>]*\bsrc=)/);
    const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
    expect(parts.length).toBeGreaterThan(4);
    for (const part of parts) expect(part).toMatch(/^docs\//);
    const files = await Promise.all(['openapi.json', ...parts].map((part) => plainRequest(`${origin}/${part}`)));
    expect(files.map(({ status }) => status)).toEqual(files.map(() => 200));
    expect(Buffer.byteLength([page, ...files].map(({ body }) => body).join(''))).toBeLessThan(2_000_000);
  });

  it.each(['/docs', '/docs/docs.js', '/openapi.json'])('is not_found when API_DOCS is off: %s', async (path) => {
    const { origin } = await startApp({ apiDocs: false });
    const response = await fetch(origin + path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: 'not_found' });
  });
});
