// Writes the tables of settings, errors, findings, metrics, mistakes and values of the chart into the documents, and
// the settings into the schema of the chart: npm run reference. With --check, it changes nothing, and fails if a table
// or the schema differs. Each table stands between two comments: "settings-vendor: written by npm run reference".
import { existsSync } from 'node:fs';
import { writeMarkedSection } from './markdown.ts';
import { chartSections, writeChartSchema } from './reference/chart.ts';
import { writeEnvExample } from './reference/env-example.ts';
import { findingSections } from './reference/findings.ts';
import type { Language } from './reference/language.ts';
import { metricSections } from './reference/metrics.ts';
import { errorSections, mistakeSections, settingSections } from './reference/tables.ts';

const DOCUMENTS = [
  { path: 'docs/settings.md', language: 'en', sectionsIn: settingSections },
  { path: 'docs/zh/settings.md', language: 'zh', sectionsIn: settingSections },
  { path: 'docs/errors.md', language: 'en', sectionsIn: errorSections },
  { path: 'docs/zh/errors.md', language: 'zh', sectionsIn: errorSections },
  { path: 'docs/console.md', language: 'en', sectionsIn: findingSections },
  { path: 'docs/zh/console.md', language: 'zh', sectionsIn: findingSections },
  { path: 'docs/metrics.md', language: 'en', sectionsIn: metricSections },
  { path: 'docs/zh/metrics.md', language: 'zh', sectionsIn: metricSections },
  { path: 'docs/test-results.md', language: 'en', sectionsIn: mistakeSections },
  { path: 'deploy/helm/sdk-token-broker/README.md', language: 'en', sectionsIn: chartSections },
  { path: 'deploy/helm/sdk-token-broker/README.zh-CN.md', language: 'zh', sectionsIn: chartSections },
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
const paths: string[] = outdated.map(({ path }) => path);
if (writeChartSchema({ mayWrite }) && !mayWrite) paths.push('values.schema.json');
const examples = [
  ['.env.example', 'en'],
  ['.env.example.zh', 'zh'],
] as const;
for (const [path, language] of examples) {
  if (writeEnvExample(path, language, { mayWrite }) && !mayWrite) paths.push(path);
}
if (paths.length > 0) {
  const lines = paths.map((path) => `${path} differs from the code. Run: npm run reference`);
  process.stderr.write(`${lines.join('\n')}\n`);
  process.exit(1);
}
