import { markdownTable } from '../markdown-table.ts';

/** What was measured, in order: shown as it comes, and a table in the end. */
export class Figures {
  readonly #rows: [what: string, figure: string][] = [];

  note(what: string, figure: string): void {
    this.#rows.push([what, figure]);
    process.stdout.write(`${what.padEnd(58)} ${figure}\n`);
  }

  table(): string {
    return markdownTable([['what', 'measured'], ...this.#rows]);
  }
}

/** The value below which this share of them lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
