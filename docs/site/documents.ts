// The documents of the site: their order, their groups in the sidebar, and their paths. A file that is not in this
// list is not on the site, and test/site/documents.test.ts fails.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root of the repository, with a trailing slash. */
export const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

interface Group {
  readonly title: { readonly en: string; readonly zh: string };
  /** Paths in the repository, of the English documents. {@link translationOf} gives the path of a translation. */
  readonly files: readonly string[];
}

export const GROUPS: readonly Group[] = [
  {
    title: { en: 'Tutorial', zh: '教程' },
    files: ['README.md', 'docs/README.md', 'docs/get-started.md'],
  },
  {
    title: { en: 'How-to', zh: '操作指南' },
    files: [
      'docs/integrate-your-app.md',
      'clients/kotlin/README.md',
      'clients/swift/README.md',
      'clients/javascript/README.md',
      'docs/integrate-your-cloud.md',
      'clients/spring-boot-starter/README.md',
      'examples/cloud-node/README.md',
      'examples/clouds/README.md',
      'docs/production.md',
      'docs/key-rotation.md',
      'docs/runbooks.md',
      'docs/console.md',
    ],
  },
  {
    title: { en: 'Reference', zh: '参考' },
    files: [
      'docs/errors.md',
      'docs/settings.md',
      'deploy/helm/sdk-token-broker/README.md',
      'docs/metrics.md',
      'docs/vendor-login.md',
      'docs/test-results.md',
    ],
  },
  {
    title: { en: 'Explanation', zh: '原理' },
    files: ['docs/security.md', 'docs/reliability.md', 'docs/performance.md', 'docs/architecture.md'],
  },
  {
    title: { en: 'Decisions', zh: '设计决策' },
    files: [
      'docs/adr/README.md',
      'docs/adr/0001-fenced-leases.md',
      'docs/adr/0002-sorted-set-for-the-due-queue.md',
      'docs/adr/0003-record-format.md',
      'docs/adr/0004-trust-in-memory.md',
      'docs/adr/0005-bundled-dist.md',
      'docs/adr/0008-one-login-queue.md',
      'docs/adr/0009-login-for-an-access-id.md',
      'docs/adr/0012-tokens-in-memory.md',
      'docs/adr/0013-one-rule-book-in-lua.md',
    ],
  },
  {
    title: { en: 'Project', zh: '项目' },
    files: ['CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CODE_OF_CONDUCT.md'],
  },
];

/** Returns the path of the Chinese translation of an English document. The file may not exist. */
export function translationOf(file: string): string {
  return file.startsWith('docs/') ? file.replace('docs/', 'docs/zh/') : file.replace(/\.md$/, '.zh-CN.md');
}

/** Returns the path of the Markdown file on the site. Chinese documents get the path of the English one, under `zh/`. */
export function sitePathOf(englishFile: string): string {
  if (englishFile === 'README.md') return 'index.md';
  if (englishFile === 'docs/README.md') return 'documents.md';
  const inDocs = /^docs\/(.+)$/.exec(englishFile)?.[1];
  if (inDocs) return inDocs.replace(/(^|\/)README\.md$/, '$1index.md');
  if (englishFile.endsWith('/README.md')) return englishFile.replace(/\/README\.md$/, '.md');
  return `project/${englishFile.toLowerCase().replaceAll('_', '-')}`;
}

/**
 * Returns all documents of the site: from the path in the repository to the path on the site. The site is in English
 * only as long as README.zh-CN.md, its first page in Chinese, does not exist.
 */
export function sitePaths(): ReadonlyMap<string, string> {
  const english = GROUPS.flatMap(({ files }) => files);
  const isTranslated = (file: string) => existsSync(REPOSITORY + translationOf(file));
  const chinese = isTranslated('README.md') ? english.filter(isTranslated) : [];
  return new Map([
    ...english.map((file) => [file, sitePathOf(file)] as const),
    ...chinese.map((file) => [translationOf(file), `zh/${sitePathOf(file)}`] as const),
  ]);
}
