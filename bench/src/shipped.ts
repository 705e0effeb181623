/**
 * A module of the broker as it is shipped, out of `dist`. What tsx makes of `src` is slower: it names every function anew
 * whenever one is made.
 * @param path below `dist`, without its ending
 */
export function shipped<T>(path: string): Promise<T> {
  return import(new URL(`../../dist/${path}.js`, import.meta.url).href) as Promise<T>;
}
