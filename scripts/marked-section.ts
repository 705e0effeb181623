import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Puts a text between `<!-- name: … -->` and `<!-- end of name -->` in a document, in place of what stood there.
 * @throws Error where the document has no such place
 */
export function writeMarkedSection(document: URL, name: string, text: string): void {
  const before = readFileSync(document, 'utf8');
  const place = new RegExp(`(?<=<!-- ${name}: [^\\n]* -->\\n)[\\s\\S]*(?=<!-- end of ${name} -->)`);
  if (!place.test(before)) throw new Error(`${document.pathname} has no place called ${name}`);
  writeFileSync(
    document,
    before.replace(place, () => `\n${text}\n\n`),
  );
}
