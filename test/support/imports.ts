import { posix } from 'node:path';

/** Maps the path of a file, relative to `src/`, to its text. Examples: `token/clock.ts`, `../console/format.ts`. */
export type Sources = ReadonlyMap<string, string>;

export interface Import {
  readonly from: string;
  /** Whether the statement imports types alone, so that nothing of it exists when the code runs. */
  readonly isTypeOnly: boolean;
  /** Whether the file loads the other one when it needs it, so that the other one is an entry point. */
  readonly isOnDemand: boolean;
  /** As written in the import statement. */
  readonly specifier: string;
  /** For a relative specifier, the path relative to `src/`. It begins with `..` if it leads out of `src/`. */
  readonly file: string | undefined;
}

// These patterns need formatted code: static imports begin a line, and each statement ends with a semicolon.
const patterns = [
  /^(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^import\s*['"]([^'"]+)['"]/gm,
  /\b(?:import|require)\s*\(\s*['"`]([^'"`]+)['"`]/g,
];

/** All imports of a file. Type imports count too, because they also create a dependency. */
export function importsOf(from: string, text: string): Import[] {
  const code = withoutComments(text);
  return patterns.flatMap((pattern) =>
    [...code.matchAll(pattern)].map(([statement, specifier = '']) => {
      const isRelative = specifier.startsWith('.');
      const file = isRelative ? posix.relative('src', posix.join('src', posix.dirname(from), specifier)) : undefined;
      const isTypeOnly = /^(?:import|export) type\b/.test(statement);
      return { from, specifier, file, isTypeOnly, isOnDemand: /^import\s*\(/.test(statement) };
    }),
  );
}

export function allImports(sources: Sources): Import[] {
  return [...sources].flatMap(([file, text]) => importsOf(file, text));
}

/** Removes comments that take whole lines. */
export function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/^\s*\/\/.*$/gm, '');
}

/** Lists of files in which each file imports the next one and the last file imports the first one. */
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
