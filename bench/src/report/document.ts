import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { markdownTable } from '../../../scripts/markdown-table.ts';
import { writeMarkedSection } from '../../../scripts/marked-section.ts';
import { ROOT } from '../processes/repository.ts';
import { chart } from './chart.ts';
import type { Results } from './results.ts';
import { scenarioTables } from './scenario-tables.ts';

const RESULTS = join(ROOT, 'bench/results.json');
const DOCUMENT = pathToFileURL(join(ROOT, 'docs/performance.md'));
const CHART = join(ROOT, 'docs/performance.svg');

/** Keeps the results, and shows them in docs/performance.md and its chart. */
export function publish(results: Results): void {
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(CHART, chart(results));
  writeMarkedSection(DOCUMENT, 'figures', markdown(results));
}

function markdown({ measuredAt, machine, rounds, seconds, scenarios }: Results): string {
  const setting = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  return [
    `Measured on ${measuredAt.slice(0, 10)}, ${rounds} rounds of ${seconds} s: ${setting.join('; ')}.`,
    '![Requests a second by scenario and peer](performance.svg)',
    ...Object.entries(scenarios).flatMap(([name, result]) => {
      const { figures, comparisons } = scenarioTables(result);
      return [
        `### ${name}`,
        markdownTable(figures),
        ...(comparisons.length > 1 ? [markdownTable(comparisons)] : []),
        ...(result.notes?.length ? [result.notes.map((note) => `- ${note}`).join('\n')] : []),
      ];
    }),
  ].join('\n\n');
}
