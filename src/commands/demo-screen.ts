import { styleText } from 'node:util';
import { systemClock } from '../token/clock.ts';
import { progressBar } from './rekey.ts';
import type { Terminal } from './terminal.ts';

type Style = 'bold' | 'dim' | 'green' | 'cyan' | 'yellow';

const LABEL_WIDTH = 18;
const BAR_WIDTH = 30;

/** Lays out what the demo has to say, in colour where somebody watches. */
export class DemoScreen {
  readonly #terminal: Terminal;
  #steps = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  title(text: string): void {
    this.#terminal.out(`\n\n${this.#paint('bold', text)}\n`);
  }

  /** Something that happens in the flow: who asks whom, and for what. */
  step(who: string, what: string): void {
    this.#steps += 1;
    this.#terminal.out(`\n${this.#paint('cyan', `${this.#steps}`)}  ${this.#paint('bold', who)}  ${what}`);
  }

  /** A request that was really made, and its answer. */
  request(line: string, status: number, tookMs: number): void {
    const answer = `${this.#paint(status < 400 ? 'green' : 'yellow', String(status))}  ${tookMs.toFixed(1).padStart(6)} ms`;
    this.#terminal.out(`   ${line.padEnd(44)} ${answer}`);
  }

  row(label: string, value: string): void {
    this.#terminal.out(`   ${this.#paint('dim', label.padEnd(LABEL_WIDTH))}${value}`);
  }

  note(text: string): void {
    this.#terminal.out(`   ${text}`);
  }

  /** How far along something is, drawn over itself; nothing where nobody watches. */
  progress(label: string, done: number, rest: string): void {
    const bar = progressBar(done, BAR_WIDTH);
    this.#terminal.redraw?.(`   ${this.#paint('dim', label.padEnd(LABEL_WIDTH))}${bar}  ${rest}`);
  }

  /** Ends a line of {@link progress}. */
  progressDone(): void {
    this.#terminal.redraw?.('');
  }

  /** A line to be copied: nothing around it, nothing in it but itself. */
  copyable(line: string): void {
    this.#terminal.out(`${line}\n`);
  }

  event(text: string): void {
    this.#terminal.out(`   ${this.#paint('dim', new Date(systemClock.now()).toTimeString().slice(0, 8))}  ${text}`);
  }

  goodbye(): void {
    this.#terminal.redraw?.('');
    this.#terminal.out(`\n   ${this.#paint('dim', 'Stopped.')}`);
  }

  #paint(style: Style, text: string): string {
    return this.#terminal.redraw ? styleText(style, text) : text;
  }
}
