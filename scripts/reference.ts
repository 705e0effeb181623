// Writes the tables of settings, errors, guarantees and mistakes into the documents: npm run reference. With --check, it changes
// nothing, and fails if a table differs. Each table stands between two comments: "settings-vendor: written by npm run reference".
import { existsSync } from 'node:fs';
import { writeMarkedSection } from './markdown.ts';
import type { Language } from './reference/language.ts';
import { errorSections, guaranteeSections, mistakeSections, settingSections } from './reference/tables.ts';

const DOCUMENTS = [
  { path: 'docs/settings.md', language: 'en', sectionsIn: settingSections },
  { path: 'docs/zh/settings.md', language: 'zh', sectionsIn: settingSections },
  { path: 'docs/errors.md', language: 'en', sectionsIn: errorSections },
  { path: 'docs/zh/errors.md', language: 'zh', sectionsIn: errorSections },
  { path: 'docs/guarantees.md', language: 'en', sectionsIn: guaranteeSections },
  { path: 'docs/zh/guarantees.md', language: 'zh', sectionsIn: guaranteeSections },
  { path: 'docs/test-results.md', language: 'en', sectionsIn: mistakeSections },
] as const satisfies { path: string; language: Language; sectionsIn: (language: Language) => Map<string, string> }[];

const mayWrite = !process.argv.includes('--check');
const outdated = DOCUMENTS.filter(({ path, language, sectionsIn }) => {
  const document = new URL(`../${path}`, import.meta.url);
  // `test/documents-parity.test.ts` fails if a translation is missing.
  if (!existsSync(document)) return false;
  const changed = [...sectionsIn(language)].filter(([name, table]) =>
    writeMarkedSection(document, name, table, { mayWrite }),
  );
  return changed.length > 0 && !mayWrite;
});
if (outdated.length > 0) {
  const lines = outdated.map(({ path }) => `${path}: a table differs from the code. Run: npm run reference`);
  process.stderr.write(`${lines.join('\n')}\n`);
  process.exit(1);
}
