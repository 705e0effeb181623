import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { FINDING_CODES, runbookOf } from '../../../../src/token/findings.ts';
import { plainRequest } from '../../../support/plain-request.ts';
import { startInternalApp } from '../running-internal-app.ts';

const pathOf = (address: string) => address.split('?')[0];

describe('GET /console', () => {
  it('serves the page and its files without a token, and without a cookie', async () => {
    const { origin, log } = await startInternalApp({ logLevel: 'warn' });
    const page = await plainRequest(`${origin}/console`);
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    const files = [...page.body.matchAll(/(?:src|href)="(console\/[^"]+)"/g)].map(([, path = '']) => path);
    expect(files.map(pathOf).sort()).toEqual(['console/console.css', 'console/console.js', 'console/icon.svg']);
    for (const file of files) {
      const answer = await plainRequest(`${origin}/${file}`);
      expect(answer.status, file).toBe(200);
      expect(answer.headers['set-cookie']).toBeUndefined();
    }
    expect(log()).toBe('');
  });

  it.each(['console', 'console/runbooks/en'])(
    'names the files of /%s with the key of its process, and scripts and styles with their digest',
    async (path) => {
      const { origin } = await startInternalApp();
      const { body } = await plainRequest(`${origin}/${path}`);
      const [, key] = /<html data-broker="([0-9a-f]{130})"/.exec(body) ?? [];
      const tags = [...body.matchAll(/<(?:link|script) [^>]*(?:src|href)="([^"]+)"[^>]*>/g)];
      expect(tags.length).toBeGreaterThan(1);
      for (const [tag, address = ''] of tags) {
        const url = new URL(address, `${origin}/${path}`);
        expect(url.search).toBe(`?broker=${key}`);
        if (tag.includes('rel="icon"')) continue;
        const digest = createHash('sha384')
          .update((await plainRequest(url.href)).body)
          .digest('base64');
        expect(tag).toContain(`integrity="sha384-${digest}"`);
      }
    },
  );

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

  it.each(['en', 'zh'])('serves the runbooks in %s, with a section for each finding', async (language) => {
    const { origin } = await startInternalApp({ logLevel: 'warn' });
    const { status, headers, body } = await plainRequest(`${origin}/console/runbooks/${language}`);
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; .*style-src 'self'/);
    for (const code of FINDING_CODES) expect(body).toContain(`<h2 id="${runbookOf(code).split('#')[1]}">`);
    const ids = new Set([...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
    const targets = [...body.matchAll(/ href="#([^"]+)"/g)].map(([, target]) => decodeURI(target ?? ''));
    expect(targets.length).toBeGreaterThan(20);
    expect(targets.filter((target) => !ids.has(target))).toEqual([]);
    const others = [...body.matchAll(/ href="(?!#)([^"]+)"/g)].map(([, target = '']) => target);
    expect(others.map(pathOf)).toEqual(['../icon.svg', '../console.css', language === 'en' ? 'zh' : 'en']);
  });

  it('has less than 200 KB of files, with the runbooks in both languages', async () => {
    const { origin } = await startInternalApp();
    const sizeOf = async (path: string) => Buffer.byteLength((await plainRequest(`${origin}/${path}`)).body);
    const files = ['console.css', 'console.js', 'icon.svg', 'runbooks/en', 'runbooks/zh'].map(
      (name) => `console/${name}`,
    );
    const sizes = await Promise.all(['console', ...files].map(sizeOf));
    expect(Math.min(...sizes)).toBeGreaterThan(200);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(200_000);
  });

  it('says what is missing if there is no admin token, and serves no file', async () => {
    const { origin } = await startInternalApp({ adminToken: undefined });
    const page = await plainRequest(`${origin}/console`);
    expect(page.status).toBe(404);
    expect(JSON.parse(page.body)).toMatchObject({ code: 'not_found', detail: expect.stringContaining('ADMIN_TOKEN') });
    for (const file of ['console.js', 'runbooks/en', 'calls']) {
      expect((await plainRequest(`${origin}/console/${file}`)).status, file).toBe(404);
    }
  });
});
