// Builds the site and opens it in a browser. It needs the packages in docs/site/ and Chromium: `npm run test:docs`.
import { existsSync, readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { buildSite, DIST, installPackages, serveSite } from '../../docs/site/build.ts';
import { deadLinks, htmlFiles } from '../../docs/site/built-links.ts';
import { REPOSITORY, sitePaths } from '../../docs/site/documents.ts';
import { searchWords } from '../../docs/site/search-words.ts';
import { urlOf } from '../../docs/site/urls.ts';
import { startChromium } from '../support/browser.ts';

const pages = [...sitePaths()].map(([file, path]) => ({ file, path, url: urlOf(path) }));
const diagrams = pages
  .map((page) => ({ ...page, count: source(page.file).match(/^\s*```mermaid$/gm)?.length ?? 0 }))
  .filter(({ count }) => count > 0);
const hasChinese = existsSync(join(REPOSITORY, 'README.zh-CN.md'));

/** In the browser: the labels of diagrams that are higher than their place. */
const CLIPPED_LABELS = `[...document.querySelectorAll('div.diagram foreignObject')]
  .filter((label) => label.firstElementChild.getBoundingClientRect().height > label.getBoundingClientRect().height + 1)
  .map((label) => label.textContent)`;

let site: { readonly url: string; readonly server: Server };
let browser: Browser;

function source(file: string): string {
  return readFileSync(join(REPOSITORY, file), 'utf8');
}

function builtPage(path: string): string {
  return readFileSync(join(DIST, path.replace(/\.md$/, '.html')), 'utf8');
}

beforeAll(async () => {
  // The tests are about the site without it.
  delete process.env['DOCS_REPOSITORY_URL'];
  installPackages();
  buildSite();
  [site, browser] = await Promise.all([serveSite(0), startChromium()]);
}, 300_000);

afterAll(async () => {
  await browser?.close();
  site?.server.close();
});

describe('the built site', () => {
  test('has a page for each document, and no other page', () => {
    const expected = ['404.html', ...pages.map(({ path }) => path.replace(/\.md$/, '.html'))];
    expect(htmlFiles(DIST).toSorted()).toEqual(expected.toSorted());
  });

  test('has a title and a heading of level 1 on each page', () => {
    for (const { path } of pages) {
      expect(builtPage(path), path).toMatch(
        /<title>[^<|]*\S[^<|]* \| sdk-token-broker<\/title>|<title>sdk-token-broker<\/title>/,
      );
      expect(builtPage(path).match(/<h1[\s>]/g), path).toHaveLength(1);
    }
  });

  test('has no dead link and no dead anchor', () => {
    expect(deadLinks(DIST)).toEqual([]);
  });

  test('has no link to a file of the repository', () => {
    for (const { path } of pages) expect(builtPage(path), path).not.toMatch(/href="[^"#]*\.(ts|mjs|ya?ml|lua|md)"/);
  });
});

describe('in a browser', () => {
  const errors: string[] = [];
  const requests: string[] = [];
  let page: Page;

  async function open(url: string): Promise<void> {
    await page.goto(new URL(url, site.url).href, { waitUntil: 'networkidle' });
  }

  /** Enters the query, and returns the first result. */
  async function search(query: string) {
    const first = page.locator('.VPLocalSearchBox .results .result').first();
    await page.locator('#local-search button').click();
    // The search box opens with the last query, and shows its results until it has those of the new one.
    await page.locator('#localsearch-input').fill('');
    await first.waitFor({ state: 'hidden' });
    await page.locator('#localsearch-input').fill(query);
    await first.waitFor();
    return first;
  }

  beforeAll(async () => {
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(100_000);
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('request', (request) => requests.push(request.url()));
  });

  afterEach(() => {
    expect(errors.splice(0)).toEqual([]);
    expect(requests.splice(0).filter((url) => !url.startsWith(site.url) && !url.startsWith('data:'))).toEqual([]);
  });

  /** Follows the first result. Returns the text of the page that it leads to. */
  async function followFirstResult(query: string): Promise<string> {
    const result = await search(query);
    const target = new URL((await result.getAttribute('href')) ?? '', site.url);
    expect(target.hash).not.toBe('');
    await result.click();
    await page.waitForURL(target.href);
    await page.locator(`[id="${decodeURIComponent(target.hash.slice(1))}"]`).waitFor();
    return (await page.locator('main').textContent()) ?? '';
  }

  test('an English search finds a setting by the first of its words, and leads to a section', async () => {
    await open('/');
    expect(await followFirstResult('introspection')).toContain('SESSION_INTROSPECTION');
  });

  test.runIf(hasChinese)('a Chinese search finds a word that stands only inside of sentences', async () => {
    const chinese = pages.filter(({ path }) => path.startsWith('zh/')).map(({ file }) => source(file));
    // The search does not index diagrams and comments.
    const text = chinese.join('\n').replace(/^```.*?^```$|<!--.*?-->/gms, '');
    const words = searchWords(text).filter((word) => /^\p{Script=Han}{2}$/u.test(word));
    const word = words.find((word) => !new RegExp(`(?<!\\p{Script=Han})${word}`, 'u').test(text)) ?? '';
    await open('/zh/');
    expect(await followFirstResult(word)).toContain(word);
    expect(page.url()).toContain('/zh/');
  });

  test.runIf(hasChinese)('the language link leads to the same page in the other language', async () => {
    const { path = '' } = pages.findLast(({ path }) => path.startsWith('zh/')) ?? {};
    const link = page.locator('.VPNavBar .language-link');
    await open(urlOf(path));
    await link.click();
    await page.waitForURL(new URL(urlOf(path.replace('zh/', '')), site.url).href);
    await expect.poll(() => page.locator('html').getAttribute('lang')).toBe('en');
    await link.click();
    await page.waitForURL(new URL(urlOf(path), site.url).href);
    await expect.poll(() => page.locator('html').getAttribute('lang')).toBe('zh-CN');
  });

  test('some documents have a diagram', () => {
    expect(diagrams).not.toEqual([]);
  });

  test.each(diagrams)('$file shows its diagrams with whole labels, in both colour schemes', async ({ url, count }) => {
    await open(url);
    const drawn = page.locator('div.diagram > svg');
    await expect.poll(() => drawn.count(), { timeout: 10_000 }).toBe(count);
    expect(await page.evaluate<string[]>(CLIPPED_LABELS)).toEqual([]);
    const colour = () => page.evaluate<string>("getComputedStyle(document.querySelector('div.diagram > svg')).fill");
    const light = await colour();
    const change = page.locator('.VPNavBarAppearance .VPSwitchAppearance');
    await change.click();
    await expect.poll(colour, { timeout: 10_000 }).not.toBe(light);
    await change.click();
    await expect.poll(colour, { timeout: 10_000 }).toBe(light);
  });

  test('a page without a diagram does not load Mermaid', async () => {
    const { url = '' } = pages.find(({ file }) => !diagrams.some((page) => page.file === file)) ?? {};
    await open(url);
    expect(requests.filter((request) => request.includes('mermaid'))).toEqual([]);
  });
});
