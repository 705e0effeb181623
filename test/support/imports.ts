import { posix } from 'node:path';

/** Path inside `src/` (`token/clock.ts`) → text. */
export type Sources = ReadonlyMap<string, string>;

export interface Import {
  readonly from: string;
  /** As written. */
  readonly specifier: string;
  /** Path inside `src/` if the specifier is relative; begins with `..` if it leads out of `src/`. */
  readonly file: string | undefined;
}

// The formatter keeps static imports at the start of a line and ends each statement with a semicolon.
const patterns = [
  /^(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^import\s*['"]([^'"]+)['"]/gm,
  /\b(?:import|require)\s*\(\s*['"`]([^'"`]+)['"`]/g,
];

/** Everything a file imports, for types too: a type of another module binds to that module as well. */
export function importsOf(from: string, text: string): Import[] {
  const code = withoutComments(text);
  return patterns.flatMap((pattern) =>
    [...code.matchAll(pattern)].map(([, specifier = '']) => {
      const isRelative = specifier.startsWith('.');
      const file = isRelative ? posix.join(posix.dirname(from), specifier) : undefined;
      return { from, specifier, file };
    }),
  );
}

export function allImports(sources: Sources): Import[] {
  return [...sources].flatMap(([file, text]) => importsOf(file, text));
}

/** The text without comments that fill whole lines. */
export function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/^\s*\/\/.*$/gm, '');
}

/** Chains of files of which each imports the next and the last imports the first. */
export function importCircles(sources: Sources): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push(path.slice(start));
    if (start >= 0 || done.has(file)) return;
    for (const next of importsOf(file, sources.get(file) ?? '')) {
      if (next.file !== undefined) visit(next.file, [...path, file]);
    }
    done.add(file);
  };
  for (const file of sources.keys()) visit(file, []);
  return circles;
}
