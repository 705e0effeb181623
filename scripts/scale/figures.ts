import { markdownTable } from '../markdown.ts';

/** Collects the figures in order. Prints each one immediately, and formats all as a table at the end. */
export class Figures {
  readonly #rows: [name: string, value: string][] = [];

  note(name: string, value: string): void {
    this.#rows.push([name, value]);
    process.stdout.write(`${name.padEnd(66)} ${value}\n`);
  }

  table(): string {
    return markdownTable([['figure', 'measured'], ...this.#rows]);
  }
}

/** Formats a number without decimal places, with separators. */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
