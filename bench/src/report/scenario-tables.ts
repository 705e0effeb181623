import type { Figure, ScenarioResult } from '../scenario.ts';

type Table = readonly (readonly string[])[];

export interface ScenarioTables {
  /** A row for each figure, a column for each peer. */
  readonly figures: Table;
  /** A row for each target. */
  readonly comparisons: Table;
}

/** What a scenario found, as cells. The first row is the head. */
export function scenarioTables({ figures, comparisons }: ScenarioResult): ScenarioTables {
  const peers = [...new Set(figures.map(({ peer = 'broker' }) => peer))];
  const names = [...new Set(figures.map(nameOf))];
  const cell = (peer: string, name: string): string => {
    const figure = figures.find((one) => (one.peer ?? 'broker') === peer && nameOf(one) === name);
    return figure ? amount(figure.value) : '–';
  };
  return {
    figures: [['', ...peers], ...names.map((name) => [name, ...peers.map((peer) => cell(peer, name))])],
    comparisons: [
      ['the broker', 'is to be', 'is', ''],
      ...comparisons.map(({ claim, target, measured, met }) => [claim, target, measured, met ? '✓' : '✗']),
    ],
  };
}

function nameOf({ label, unit }: Figure): string {
  return unit === '' ? label : `${label} (${unit})`;
}

/** To three digits, or to the whole. */
export function amount(value: number): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
