import { readFileSync } from 'node:fs';

/** A file of this repository. */
export function readFile(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/**
 * The cells of the rows of the one table that begins with this cell.
 * @throws Error where there is none, or another
 */
export function tableAfter(text: string, firstCell: string): string[][] {
  const [, ...tables] = text.split(`\n| ${firstCell} |`);
  if (tables.length !== 1) throw new Error(`${tables.length} tables begin with ${firstCell}`);
  const [, , ...rows] = tables[0]?.split('\n\n')[0]?.split('\n') ?? [];
  return rows.map((row) => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')));
}
