import { describe, expect, it } from 'vitest';
import { plainRequest } from '../../../support/plain-request.ts';
import { startInternalApp } from '../running-internal-app.ts';

describe('GET /console', () => {
  it('serves the page and its files without a token, and without a cookie', async () => {
    const { origin, log } = await startInternalApp({ logLevel: 'warn' });
    const page = await plainRequest(`${origin}/console`);
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    const files = [...page.body.matchAll(/(?:src|href)="(console\/[^"]+)"/g)].map(([, path]) => path);
    expect(files.sort()).toEqual(['console/console.css', 'console/console.js', 'console/icon.svg']);
    for (const file of files) {
      const answer = await plainRequest(`${origin}/${file}`);
      expect(answer.status, file).toBe(200);
      expect(answer.headers['set-cookie']).toBeUndefined();
    }
    expect(log()).toBe('');
  });

  it('has a policy that allows only its own files, and no inline code', async () => {
    const { origin } = await startInternalApp();
    const { headers, body } = await plainRequest(`${origin}/console`);
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toContain('unsafe');
    expect(policy.match(/https?:/)).toBeNull();
    expect(body).not.toMatch(/ on\w+=|style=|<style|<script>/);
  });

  it('says what is missing if there is no admin token, and serves no file', async () => {
    const { origin } = await startInternalApp({ adminToken: undefined });
    const page = await plainRequest(`${origin}/console`);
    expect(page.status).toBe(404);
    expect(JSON.parse(page.body)).toMatchObject({ code: 'not_found', detail: expect.stringContaining('ADMIN_TOKEN') });
    expect((await plainRequest(`${origin}/console/console.js`)).status).toBe(404);
  });
});
