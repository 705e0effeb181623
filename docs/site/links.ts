// Where a link of a document leads on the site. In the repository, links are relative paths, as GitHub needs them.
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { REPOSITORY } from './documents.ts';
import { urlOf } from './urls.ts';

export type LinkTarget =
  /** Another site, a mail address, or a heading of the same page. */
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'page'; readonly href: string }
  /** A picture, which the site contains. */
  | { readonly kind: 'picture'; readonly href: string }
  /** A file that only the repository contains. Without an address of the repository, there is no `href`. */
  | { readonly kind: 'repository'; readonly path: string; readonly href?: string };

export interface Site {
  /** From the path in the repository to the path on the site. */
  readonly pages: ReadonlyMap<string, string>;
  /** The setting `DOCS_REPOSITORY_URL`: readers find the files of the repository below this URL. */
  readonly repositoryUrl: string | undefined;
}

export const PICTURE = /\.(png|svg|jpe?g|webp|gif)$/;

/**
 * @param file the document that contains the link, as a path in the repository
 * @throws Error if the link leads to a file that does not exist
 */
export function linkTarget(link: string, file: string, { pages, repositoryUrl }: Site): LinkTarget {
  if (/^([a-z][a-z0-9+.-]*:|\/\/|#)/i.test(link)) return { kind: 'unchanged' };
  const [, relative = '', hash = ''] = /^([^#]*)(#.*)?$/.exec(link) ?? [];
  const path = posix.join(posix.dirname(file), decodeURI(relative));
  const page = pages.get(path);
  if (page) return { kind: 'page', href: urlOf(page) + hash };
  if (path.startsWith('..') || !existsSync(REPOSITORY + path)) {
    throw new Error(`${file} links to ${link}, and the repository has no file ${path}`);
  }
  if (PICTURE.test(path)) return { kind: 'picture', href: `/${path}` };
  if (!repositoryUrl) return { kind: 'repository', path };
  return { kind: 'repository', path, href: `${repositoryUrl.replace(/\/$/, '')}/${encodeURI(path)}${hash}` };
}
