// Checks the links of the built site: each leads to a file of the site, and to an element of that page.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const ORIGIN = 'http://site.invalid';

/** Returns one line for each dead link in the HTML files of a folder. */
export function deadLinks(folder: string): string[] {
  const pages = new Map(
    htmlFiles(folder).map((name) => [name, attributesOf(readFileSync(join(folder, name), 'utf8'))] as const),
  );
  return [...pages].flatMap(([name, { links }]) =>
    links
      .map((link) => ({ link, url: new URL(link, `${ORIGIN}/${name}`) }))
      .filter(({ url }) => url.origin === ORIGIN && !leadsSomewhere(url))
      .map(({ link }) => `${name}: ${link}`),
  );

  function leadsSomewhere({ pathname, hash }: URL): boolean {
    const path = decodeURI(pathname)
      .slice(1)
      .replace(/(^|\/)$/, '$1index.html');
    const page = pages.get(path);
    if (!page) return statSync(join(folder, path), { throwIfNoEntry: false })?.isFile() === true;
    return hash === '' || page.ids.has(decodeURIComponent(hash.slice(1)));
  }
}

export function htmlFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.html'));
}

/** VitePress escapes `<` in texts, so each `<` begins a tag. */
function attributesOf(html: string): { readonly links: readonly string[]; readonly ids: ReadonlySet<string> } {
  const tags = [...html.matchAll(/<[a-z][^>]*>/g)].map(([tag]) => tag);
  const values = (attribute: RegExp) =>
    tags.flatMap((tag) => [...tag.matchAll(attribute)].map(([, value = '']) => value.replaceAll('&amp;', '&')));
  return { links: values(/\s(?:href|src)="([^"]*)"/g), ids: new Set(values(/\sid="([^"]*)"/g)) };
}
