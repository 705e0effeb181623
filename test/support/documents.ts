import { readFileSync } from 'node:fs';

/** Reads a file of this repository. */
export function readFile(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/**
 * Returns the cells of the table whose first head cell is `firstCell`, without its head. Cells may be empty.
 * @throws Error if the text has no such table, or more than one
 */
export function tableAfter(text: string, firstCell: string): string[][] {
  const [, ...tables] = text.split(`\n| ${firstCell} |`);
  if (tables.length !== 1) throw new Error(`${tables.length} tables begin with ${firstCell}`);
  const [, , ...rows] = tables[0]?.split('\n\n')[0]?.split('\n') ?? [];
  const cellsOf = (row: string) => row.replace(/^\|| \|$/g, '').split(/ \|(?= |$)/);
  return rows.map((row) => cellsOf(row).map((cell) => cell.trim()));
}
