import { markdownTable, writeMarkedSection } from '../../../scripts/markdown.ts';
import type { ScenarioResult } from './scenario.ts';

const DOCUMENT = new URL('../../docs/performance.md', import.meta.url);

type Table = readonly (readonly string[])[];

/**
 * Writes the results into docs/performance.md, without how busy the cores were.
 * @param machine hardware, versions and length of the run, by name
 */
export function publish(machine: Record<string, string>, results: ReadonlyMap<string, ScenarioResult>): void {
  const setup = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  const sections = [...results].flatMap(([name, result]) => [
    `### ${name}`,
    ...scenarioTables({ ...result, figures: result.figures.filter(({ label }) => !label.endsWith(' busy')) }).map(
      markdownTable,
    ),
  ]);
  const measured = `Measured on ${new Date().toISOString().slice(0, 10)}: ${setup.join('; ')}.`;
  writeMarkedSection(DOCUMENT, 'figures', [measured, ...sections].join('\n\n'));
}

/**
 * The figures, one row per figure and one column per peer, and the targets, one row per target, if there are any. The
 * first row of a table is the head.
 */
export function scenarioTables({ figures, comparisons }: ScenarioResult): Table[] {
  const named = figures.map(({ peer = 'broker', label, unit, value }) => {
    return { peer, name: unit === '' ? label : `${label} (${unit})`, value };
  });
  const peers = [...new Set(named.map(({ peer }) => peer))];
  const names = [...new Set(named.map(({ name }) => name))];
  const cell = (peer: string, name: string): string => {
    const figure = named.find((one) => one.peer === peer && one.name === name);
    return figure ? formatValue(figure.value) : '–';
  };
  const measured = [['', ...peers], ...names.map((name) => [name, ...peers.map((peer) => cell(peer, name))])];
  const targets = comparisons.map(({ claim, target, measured, met }) => [claim, target, measured, met ? '✓' : '✗']);
  return targets.length === 0 ? [measured] : [measured, [['the broker', 'target', 'measured', ''], ...targets]];
}

/** Formats with three significant digits, or as a whole number from 100 on. */
function formatValue(value: number): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Formats a table as lines. Each column is as wide as its widest cell. */
export function textTable(rows: Table): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}
