import { slug } from 'github-slugger';
import { type DefaultTheme, defineConfig } from 'vitepress';
import { deadLinks } from '../built-links.ts';
import { searchWords } from '../search-words.ts';
import { CHINESE_LABELS, CHINESE_SEARCH } from './chinese.ts';
import { extendMarkdown } from './markdown.ts';
import { copyMermaid, copyPages, PAGES, sidebar } from './pages.ts';
import type { TranslatedPages } from './theme/language-link.ts';
import type { MermaidFiles } from './theme/mermaid-diagram.ts';

const pages = copyPages();
const chinese = [...pages.values()].filter((path) => path.startsWith('zh/'));
// VitePress shows its own menu of languages if the labels differ. Its links are dead for a page without a translation.
const label = 'English / 中文';
const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="11" cy="16" r="7" fill="none" stroke="#3451b2" stroke-width="4"/><path d="M18 16h12v6M24 16v4" fill="none" stroke="#3451b2" stroke-width="4"/></svg>';

export default defineConfig<DefaultTheme.Config & TranslatedPages & MermaidFiles>({
  title: 'sdk-token-broker',
  srcDir: PAGES,
  outDir: 'dist/html',
  cacheDir: 'node_modules/.vitepress',
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(icon)}` }]],
  locales: {
    root: {
      label,
      lang: 'en',
      description: 'Documents of sdk-token-broker, which gives a camera app the token of its vendor.',
      themeConfig: { sidebar: sidebar('en', pages) },
    },
    ...(chinese.length > 0 && {
      zh: {
        label,
        lang: 'zh-CN',
        description: 'sdk-token-broker 的文档：为相机 App 提供厂商令牌的服务。',
        themeConfig: { sidebar: sidebar('zh', pages), ...CHINESE_LABELS },
      },
    }),
  },
  themeConfig: {
    outline: [2, 3],
    chinesePages: chinese,
    mermaidPath: copyMermaid(),
    search: {
      provider: 'local',
      options: {
        miniSearch: { options: { tokenize: searchWords } },
        locales: { zh: { translations: CHINESE_SEARCH } },
      },
    },
  },
  markdown: {
    // The documents link to headings by the anchors of GitHub.
    anchor: { slugify: slug },
    // The highlighter has no grammar of this language, and warns about each code block.
    languages: [{ name: 'promql', scopeName: 'source.promql', patterns: [], repository: {} }],
    // GitHub shows `{…}` in a text as it is.
    attrs: { disable: true },
    config: (md) => extendMarkdown(md, { pages, repositoryUrl: process.env['DOCS_REPOSITORY_URL'] || undefined }),
  },
  buildEnd({ outDir }) {
    const dead = deadLinks(outDir);
    if (dead.length > 0) throw new Error(`dead links:\n${dead.join('\n')}`);
  },
});
