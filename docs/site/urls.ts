/** Returns the URL of a page below the root of the site. VitePress runs this code also in the browser. */
export function urlOf(sitePath: string): string {
  return `/${sitePath.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '.html')}`;
}
