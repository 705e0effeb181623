// Makes VitePress read Markdown as GitHub does: links to files of the repository, diagrams, and text with `{{`.
import type { MarkdownRenderer } from 'vitepress';
import { linkTarget, type Site } from '../links.ts';

type Token = ReturnType<MarkdownRenderer['parse']>[number];

/** The data that VitePress passes with each page. */
interface Page {
  /** The path on the site. */
  readonly relativePath: string;
}

export function extendMarkdown(md: MarkdownRenderer, site: Site): void {
  const files = new Map([...site.pages].map(([file, path]) => [path, file]));
  md.core.ruler.push('repository-links', ({ tokens, env }) => {
    const file = files.get((env as Page).relativePath);
    if (file === undefined) throw new Error(`${(env as Page).relativePath} is no page of docs/site/documents.ts`);
    for (const token of tokens) {
      if (token.type === 'html_block') token.content = resolveHtml(token.content, file, site);
      if (token.children) token.children = resolveLinks(md, token.children, file, site);
    }
  });

  const fence = md.renderer.rules.fence;
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const { info = '', content = '' } = tokens[index] ?? {};
    if (info.trim() === 'mermaid') return `<MermaidDiagram code="${encodeURIComponent(content)}" />\n`;
    return fence?.(tokens, index, ...rest) ?? '';
  };

  // Vue would take `{{ … }}` in a text for code. VitePress protects only code spans and code blocks.
  const text = md.renderer.rules.text;
  md.renderer.rules.text = (...args) => (text?.(...args) ?? '').replaceAll('{{', '&#123;&#123;');
}

/** Resolves the links and pictures of one paragraph. A link that leads nowhere on the site becomes its text and a path. */
function resolveLinks(md: MarkdownRenderer, tokens: readonly Token[], file: string, site: Site): Token[] {
  const result: Token[] = [];
  let plain: { readonly path: string; readonly start: number } | undefined;
  for (const token of tokens) {
    const attribute = token.type === 'image' ? 'src' : 'href';
    const link = token.type === 'image' || token.type === 'link_open' ? token.attrGet(attribute) : null;
    const target = link === null ? undefined : linkTarget(link, file, site);
    if (target?.kind === 'repository' && target.href === undefined) {
      plain = { path: target.path, start: result.length };
      continue;
    }
    if (plain && token.type === 'link_close') {
      const label = result.slice(plain.start).map(({ content }) => content);
      if (!label.join('').includes(plain.path.split('/').at(-1) ?? '')) result.push(...pathAfterText(md, plain.path));
      plain = undefined;
      continue;
    }
    if (target && 'href' in target && target.href) token.attrSet(attribute, target.href);
    if (token.type === 'html_inline') token.content = resolveHtml(token.content, file, site);
    result.push(token);
  }
  return result;
}

/** The inline tokens of ` (path)`, with the path as code. */
function pathAfterText(md: MarkdownRenderer, path: string): readonly Token[] {
  return md.parseInline(` (\`${path}\`)`, { relativePath: 'index.md' })[0]?.children ?? [];
}

/** Resolves the links in HTML that is part of a document. */
function resolveHtml(html: string, file: string, site: Site): string {
  return html.replace(/\s(src|srcset|href)="([^"]*)"/g, (whole, attribute: string, link: string) => {
    const target = linkTarget(link, file, site);
    if (target.kind === 'unchanged') return whole;
    return target.href === undefined ? '' : ` ${attribute}="${target.href}"`;
  });
}
