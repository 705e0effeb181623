import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { markdownTable, writeMarkedSection } from '../../../scripts/markdown.ts';
import { ROOT } from '../processes/repository.ts';
import type { Results } from '../scenario.ts';
import { formatValue, scenarioTables } from './tables.ts';

const RESULTS = join(ROOT, 'bench/results.json');
const DOCUMENT = pathToFileURL(join(ROOT, 'docs/performance.md'));

/** Writes the results into bench/results.json, and their summary into docs/performance.md. */
export function publish(results: Results): void {
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
  writeMarkedSection(DOCUMENT, 'figures', summary(results));
}

/** How many requests each peer answers, and how fast. Then each target. */
export function summary({ measuredAt, machine, rounds, seconds, scenarios }: Results): string {
  const setup = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  const targets = Object.entries(scenarios).flatMap(([name, result]) => {
    const [, ...rows] = scenarioTables(result).comparisons;
    return rows.map(([claim, target, measured, mark]) => [`${name}: ${claim}`, `${target}`, `${measured} ${mark}`]);
  });
  return [
    `Measured on ${measuredAt.slice(0, 10)}, at least ${rounds} rounds of ${seconds} s: ${setup.join('; ')}.`,
    'Requests per second, with the p99 in ms:',
    markdownTable(requests(scenarios)),
    'The targets:',
    markdownTable([['the broker', 'target', 'measured'], ...targets]),
  ].join('\n\n');
}

/** One row per scenario that compares the requests of the broker with those of its peers. */
function requests(scenarios: Results['scenarios']): readonly (readonly string[])[] {
  const compared = Object.entries(scenarios).filter(([, { figures }]) =>
    figures.some(({ peer, label }) => peer === 'broker' && label === 'requests'),
  );
  const names = compared.flatMap(([, { figures }]) => figures.map(({ peer = 'broker' }) => peer));
  const peers = [...new Set(names)].filter((peer) => peer !== 'broker').concat('broker');
  const rows = compared.map(([name, { figures }]) => {
    const value = (peer: string, label: string) =>
      figures.find((one) => one.peer === peer && one.label === label)?.value;
    const cells = peers.map((peer) => {
      const [perSecond, p99] = [value(peer, 'requests'), value(peer, 'p99')];
      if (perSecond === undefined) return '–';
      return formatValue(perSecond) + (p99 === undefined ? '' : ` (${formatValue(p99)})`);
    });
    return [name, ...cells];
  });
  return [['', ...peers], ...rows];
}
