import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { markdownTable, writeMarkedSection } from '../../../scripts/markdown.ts';
import { ROOT } from '../processes/repository.ts';
import type { Results } from '../scenario.ts';
import { formatValue, scenarioTables } from './tables.ts';

const RESULTS = join(ROOT, 'bench/results.json');
const DOCUMENT = pathToFileURL(join(ROOT, 'docs/performance.md'));
const CHART = join(ROOT, 'docs/performance.svg');

/** Writes the results into bench/results.json, docs/performance.md and its chart. */
export function publish(results: Results): void {
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(CHART, chart(results));
  writeMarkedSection(DOCUMENT, 'figures', markdown(results));
}

function markdown({ measuredAt, machine, rounds, seconds, scenarios }: Results): string {
  const setup = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  return [
    `Measured on ${measuredAt.slice(0, 10)}, at least ${rounds} rounds of ${seconds} s: ${setup.join('; ')}.`,
    '![Requests per second by scenario and peer](performance.svg)',
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

const [WIDTH, LEFT, RIGHT, BAR, GAP, HEAD] = [760, 190, 90, 20, 6, 34];
/** The chart shows only this figure. */
const LABEL = 'requests';

const STYLE = `text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
rect { fill: #9aa4b2 }
.broker { fill: #1a7f64 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #6e7781 } .broker { fill: #3fb893 } }`;

/** Draws requests per second as bars, one group per scenario, as an SVG. The fastest bar of a group is the longest. */
export function chart({ scenarios }: Results): string {
  const groups = Object.entries(scenarios).flatMap(([name, { figures }]) => {
    const bars = figures.filter(({ label }) => label === LABEL);
    return bars.length > 0 ? [{ name, bars }] : [];
  });
  let y = 0;
  const drawn = groups.flatMap(({ name, bars }) => {
    const most = Math.max(...bars.map(({ value }) => value));
    y += HEAD;
    return [
      text(0, y - 10, `${name}: requests per second`, 'head'),
      ...bars.map(({ peer = '', value }) => {
        const width = ((WIDTH - LEFT - RIGHT) * value) / most;
        const bar = `<rect class="${peer.split(' ')[0]}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}"/>`;
        const middle = y + BAR - 5;
        y += BAR + GAP;
        return text(0, middle, peer) + bar + text(LEFT + width + 6, middle, formatValue(value));
      }),
    ];
  });
  const size = `width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-labelledby="title">\n<title id="title">Requests per second</title>\n<style>${STYLE}</style>\n${drawn.join('\n')}\n</svg>\n`;
}

function text(x: number, y: number, content: string, style = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}"${style && ` class="${style}"`}>${content}</text>`;
}
