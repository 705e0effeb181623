// Fills the folder that VitePress reads: documents, pictures and Mermaid. VitePress can also read the documents in
// place and rename them, but its search then takes every page for an English one.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { GROUPS, REPOSITORY, sitePathOf, sitePaths, translationOf } from '../documents.ts';
import { PICTURE } from '../links.ts';
import { urlOf } from '../urls.ts';

/** The folder that VitePress reads, relative to `docs/site/`. Git ignores it. */
export const PAGES = 'dist/pages';
const folder = join(REPOSITORY, 'docs/site', PAGES);

/** Copies all documents and pictures. Returns the paths of the documents on the site. */
export function copyPages(): ReadonlyMap<string, string> {
  rmSync(folder, { recursive: true, force: true });
  const pages = sitePaths();
  for (const [file, path] of pages) copy(file, join(folder, path));
  const pictures = readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' });
  for (const name of pictures.filter((path) => PICTURE.test(path))) {
    copy(join('docs', name), join(folder, 'public/docs', name));
  }
  return pages;
}

function copy(file: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(join(REPOSITORY, file), to);
}

/**
 * Copies the files of Mermaid that are ready for browsers. To bundle Mermaid again would take longer than the rest of the
 * build (11 s of 20 s CPU). Some web servers do not send `.mjs` as JavaScript, so the copies end in `.js`.
 *
 * @returns the path of its first file on the site
 */
export function copyMermaid(): string {
  const { version } = createRequire(import.meta.url)('mermaid/package.json') as { version: string };
  const from = join(REPOSITORY, 'docs/site/node_modules/mermaid/dist');
  const to = `mermaid-${version}`;
  const chunks = 'chunks/mermaid.esm.min';
  mkdirSync(join(folder, 'public', to, chunks), { recursive: true });
  const scripts = readdirSync(join(from, chunks)).filter((name) => name.endsWith('.mjs'));
  for (const path of ['mermaid.esm.min.mjs', ...scripts.map((name) => `${chunks}/${name}`)]) {
    const code = readFileSync(join(from, path), 'utf8').replaceAll('.mjs"', '.js"');
    writeFileSync(join(folder, 'public', to, path.replace(/\.mjs$/, '.js')), code);
  }
  return `/${to}/mermaid.esm.min.js`;
}

interface SidebarItem {
  readonly text: string;
  readonly link: string;
}

/** Returns the sidebar of a language. The Chinese one names every document, and marks those that exist only in English. */
export function sidebar(language: 'en' | 'zh', pages: ReadonlyMap<string, string>) {
  return GROUPS.map(({ title, files }) => ({
    text: title[language],
    collapsed: title.en === 'Decisions' || title.en === 'Project',
    items: files.map((file): SidebarItem => {
      const chinese = pages.get(translationOf(file));
      if (language === 'zh' && chinese) return { text: titleOf(translationOf(file)), link: urlOf(chinese) };
      return { text: titleOf(file) + (language === 'zh' ? '（英文）' : ''), link: urlOf(sitePathOf(file)) };
    }),
  }));
}

/** The first heading of a document. */
function titleOf(file: string): string {
  const [, title] = /^# (.+)$/m.exec(readFileSync(join(REPOSITORY, file), 'utf8')) ?? [];
  if (title === undefined) throw new Error(`${file} has no heading of level 1`);
  return title.replaceAll('`', '');
}
