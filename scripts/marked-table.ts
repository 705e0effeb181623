import { readFileSync, writeFileSync } from 'node:fs';

/** The rows as a table in Markdown, the first of them its head. */
export function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * Puts a table between `<!-- name: … -->` and `<!-- end of name -->` in a document, in place of what stood there.
 * @throws Error where the document has no such place
 */
export function writeMarkedTable(document: URL, name: string, table: string): void {
  const text = readFileSync(document, 'utf8');
  const place = new RegExp(`(?<=<!-- ${name}: [^\\n]* -->\\n)[\\s\\S]*(?=<!-- end of ${name} -->)`);
  if (!place.test(text)) throw new Error(`${document.pathname} has no place for a table called ${name}`);
  writeFileSync(
    document,
    text.replace(place, () => `\n${table}\n\n`),
  );
}
