import type { Figure } from '../figures.ts';
import type { ScenarioResult } from '../scenario.ts';

type Table = readonly (readonly string[])[];

export interface ScenarioTables {
  /** One row per figure, one column per peer. */
  readonly figures: Table;
  /** One row per target. */
  readonly comparisons: Table;
}

/** Formats the result of a scenario as tables. The first row is the head. */
export function scenarioTables({ figures, comparisons }: ScenarioResult): ScenarioTables {
  const peers = [...new Set(figures.map(({ peer = 'broker' }) => peer))];
  const names = [...new Set(figures.map(nameOf))];
  const cell = (peer: string, name: string): string => {
    const figure = figures.find((one) => (one.peer ?? 'broker') === peer && nameOf(one) === name);
    return figure ? formatValue(figure.value) : '–';
  };
  return {
    figures: [['', ...peers], ...names.map((name) => [name, ...peers.map((peer) => cell(peer, name))])],
    comparisons: [
      ['the broker', 'target', 'measured', ''],
      ...comparisons.map(({ claim, target, measured, met }) => [claim, target, measured, met ? '✓' : '✗']),
    ],
  };
}

function nameOf({ label, unit }: Figure): string {
  return unit === '' ? label : `${label} (${unit})`;
}

/** Formats with three significant digits, or as a whole number from 100 on. */
export function formatValue(value: number): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Formats a table as lines. Each column is as wide as its widest cell. */
export function textTable(rows: Table): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
