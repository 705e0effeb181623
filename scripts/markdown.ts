import { readFileSync, writeFileSync } from 'node:fs';

/** Formats rows as a Markdown table. The first row is the head. */
export function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * Replaces the text between `<!-- name: … -->` and `<!-- end of name -->` in a document.
 * @param options with `mayWrite: false`, the document stays as it is
 * @returns whether the text was different
 * @throws Error if the document has no such section
 */
export function writeMarkedSection(document: URL, name: string, text: string, { mayWrite = true } = {}): boolean {
  const before = readFileSync(document, 'utf8');
  const section = new RegExp(`(?<=<!-- ${name}: [^\\n]* -->\\n)[\\s\\S]*(?=<!-- end of ${name} -->)`);
  if (!section.test(before)) throw new Error(`${document.pathname} has no section marked "${name}"`);
  const after = before.replace(section, () => `\n${text}\n\n`);
  if (after !== before && mayWrite) writeFileSync(document, after);
  return after !== before;
}
