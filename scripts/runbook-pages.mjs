// The runbooks as pages that the broker serves itself, because its console links to them: docs/runbooks.md in each
// language.
import { readFile } from 'node:fs/promises';
import { Marked } from 'marked';

const PAGES = { '/docs/runbooks.md': 'en', '/docs/zh/runbooks.md': 'zh' };

/** The pages by language, as HTML. Both have the anchors of the English one, the Chinese one also its own. */
export async function runbookPages() {
  const [english, chinese] = await Promise.all(
    ['docs', 'docs/zh'].map((folder) => readFile(`${folder}/runbooks.md`, 'utf8')),
  );
  const anchors = anchorsOf(english);
  return { en: pageOf(english, anchors, 'en', 'docs/'), zh: pageOf(chinese, anchors, 'zh-CN', 'docs/zh/') };
}

function pageOf(markdown, anchors, language, folder) {
  const own = anchorsOf(markdown);
  if (own.length !== anchors.length)
    throw new Error('docs/runbooks.md and docs/zh/runbooks.md have different headings');
  let headings = 0;
  const title = /^# (.+)$/m.exec(markdown)?.[1];
  const renderer = {
    heading({ tokens, depth }) {
      const at = headings;
      headings += 1;
      const alias = own[at] === anchors[at] ? '' : `<span id="${own[at]}"></span>`;
      return `<h${depth} id="${anchors[at]}">${alias}${this.parser.parseInline(tokens)}</h${depth}>\n`;
    },
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      if (href.startsWith('#')) return `<a href="${href}">${text}</a>`;
      const { pathname, hash } = new URL(href, `file:///${folder}`);
      const page = PAGES[pathname];
      // The broker serves no other document.
      const path = `<code>${pathname.slice(1)}${decodeURIComponent(hash)}</code>`;
      return page ? `<a href="${page}${hash}">${text}</a>` : `${text} (${path})`;
    },
  };
  const body = new Marked({ renderer }).parse(markdown);
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" type="image/svg+xml" href="../icon.svg">
<link rel="stylesheet" href="../console.css">
</head>
<body><main class="document">
${body}</main></body>
</html>
`;
}

/** The anchors of the headings, as GitHub makes them. */
function anchorsOf(markdown) {
  const text = markdown.replace(/^```.*?^```$/gms, '');
  return [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, title]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
