// Everything about the site that needs neither its packages nor a browser. The rest is in site.test.ts.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deadLinks } from '../../docs/site/built-links.ts';
import { GROUPS, REPOSITORY, sitePathOf, sitePaths, translationOf } from '../../docs/site/documents.ts';
import { linkTarget } from '../../docs/site/links.ts';
import { searchWords } from '../../docs/site/search-words.ts';

const listed = GROUPS.flatMap(({ files }) => files);

/** The Markdown files directly in a folder of the repository. */
function markdownIn(folder: string): string[] {
  return readdirSync(join(REPOSITORY, folder))
    .map((name) => (folder === '' ? name : `${folder}/${name}`))
    .filter((path) => path.endsWith('.md'));
}

/** READMEs directly below the folders of a folder. */
function readmesBelow(folder: string): string[] {
  return readdirSync(join(REPOSITORY, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => markdownIn(`${folder}/${name}`));
}

describe('the list of documents in docs/site/documents.ts', () => {
  const present = [
    ...markdownIn(''),
    // Not the packages of the site.
    ...['docs', 'docs/adr', 'docs/zh'].flatMap((folder) => markdownIn(folder)),
    ...readmesBelow('clients'),
    ...readmesBelow('deploy/helm'),
    ...readmesBelow('examples'),
  ];
  const chinese = (path: string) => path.endsWith('.zh-CN.md') || path.startsWith('docs/zh/');

  test('has each English document of the repository in one group', () => {
    expect(listed.toSorted()).toEqual(present.filter((path) => !chinese(path)).toSorted());
  });

  test('has an English document for each Chinese one', () => {
    const translations = new Set(listed.map(translationOf));
    expect(present.filter((path) => chinese(path) && !translations.has(path))).toEqual([]);
  });

  test('gives each document its own path on the site', () => {
    const paths = [...sitePaths().values()];
    expect(new Set(paths).size).toBe(paths.length);
  });

  test.each([
    ['README.md', 'index.md', 'README.zh-CN.md'],
    ['docs/README.md', 'documents.md', 'docs/zh/README.md'],
    ['docs/production.md', 'production.md', 'docs/zh/production.md'],
    ['docs/adr/README.md', 'adr/index.md', 'docs/zh/adr/README.md'],
    ['clients/kotlin/README.md', 'clients/kotlin.md', 'clients/kotlin/README.zh-CN.md'],
    ['CODE_OF_CONDUCT.md', 'project/code-of-conduct.md', 'CODE_OF_CONDUCT.zh-CN.md'],
  ])('takes %s to %s, and expects its translation in %s', (file, path, translation) => {
    expect([sitePathOf(file), translationOf(file)]).toEqual([path, translation]);
  });
});

describe('a link of a document', () => {
  const pages = new Map([
    ['README.md', 'index.md'],
    ['docs/production.md', 'production.md'],
    ['docs/adr/README.md', 'adr/index.md'],
    ['docs/zh/production.md', 'zh/production.md'],
  ]);
  const site = { pages, repositoryUrl: undefined };

  test.each([
    ['docs/production.md#redis', 'README.md', '/production.html#redis'],
    ['../README.md', 'docs/production.md', '/'],
    ['adr/README.md', 'docs/production.md', '/adr/'],
    ['../production.md', 'docs/adr/README.md', '/production.html'],
    ['../production.md', 'docs/zh/production.md', '/production.html'],
    ['production.md#存储', 'docs/zh/production.md', '/zh/production.html#存储'],
  ])('%s in %s leads to the page %s', (link, file, href) => {
    expect(linkTarget(link, file, site)).toEqual({ kind: 'page', href });
  });

  test.each(['https://example.com/a.md', 'mailto:a@example.com', '#heading'])('%s stays as it is', (link) => {
    expect(linkTarget(link, 'README.md', site)).toEqual({ kind: 'unchanged' });
  });

  test('to a source file leads nowhere if the address of the repository is unknown', () => {
    const target = linkTarget('../src/main.ts', 'docs/production.md', site);
    expect(target).toEqual({ kind: 'repository', path: 'src/main.ts' });
  });

  test.each(['https://example.com/blob/main', 'https://example.com/blob/main/'])(
    'to a source file leads to DOCS_REPOSITORY_URL=%s',
    (repositoryUrl) => {
      const target = linkTarget('../src/main.ts#L3', 'docs/production.md', { pages, repositoryUrl });
      expect(target).toMatchObject({ href: 'https://example.com/blob/main/src/main.ts#L3' });
    },
  );

  test.each(['docs/missing.md', '../outside.md', 'src/missing.ts'])('to the missing file %s is an error', (link) => {
    expect(() => linkTarget(link, 'README.md', site)).toThrow(`README.md links to ${link}`);
  });
});

describe('the search', () => {
  test.each([
    ['Set TOKEN_ENCRYPTION_KEYS, please.', ['Set', 'TOKEN', 'ENCRYPTION', 'KEYS', 'please']],
    ['令牌过期后刷新', ['令牌', '过期', '后', '刷新']],
    ['把 REDIS_URL 设置为地址', ['把', 'REDIS', 'URL', '设置', '为', '地址']],
    ['', []],
  ])('splits %j into words', (text, words) => {
    expect(searchWords(text)).toEqual(words);
  });

  test('splits Chinese also from the source of the function alone, as browsers run it', () => {
    const alone = new Function(`return (${searchWords})`)() as typeof searchWords;
    expect(alone('刷新令牌')).toEqual(['刷新', '令牌']);
  });
});

describe('the check of the built links', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'site-links-'));
    mkdirSync(join(folder, 'zh'));
    writeFileSync(join(folder, 'picture.png'), '');
    writeFileSync(join(folder, 'zh/index.html'), '<h2 id="令牌">令牌</h2>');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    ['/', true],
    ['#top', true],
    ['/index.html#top', true],
    ['zh/#%E4%BB%A4%E7%89%8C', true],
    ['/zh/index.html#令牌', true],
    ['picture.png', true],
    ['https://example.com/missing', true],
    ['mailto:a@example.com', true],
    ['#bottom', false],
    ['/zh/#top', false],
    ['/zh', false],
    ['missing.html', false],
    ['missing.png', false],
  ])('takes %j for a working link: %s', (link, works) => {
    writeFileSync(join(folder, 'index.html'), `<h1 id="top">A</h1><a class="x" href="${link}">B &lt;a href="no"></a>`);
    expect(deadLinks(folder)).toEqual(works ? [] : [`index.html: ${link}`]);
  });
});
