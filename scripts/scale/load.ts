import { progressBar } from '../../src/commands/command-line.ts';
import { systemClock } from '../../src/token/clock.ts';
import type { TokenStore } from '../../src/token/ports.ts';
import type { Subject } from '../../src/token/subject.ts';
import { eventually } from '../../test/support/eventually.ts';
import { count, type Figures } from './figures.ts';
import { LIFE_MS, madeUpRecord } from './made-up-token.ts';

const AT_ONCE = 250;
const BAR_WIDTH = 40;
/** A store that is slow for a moment does not end the load. */
const PATIENCE = { timeoutMs: 30_000, everyMs: 500 };

/**
 * Stores tokens of as many accounts, the first half of them due.
 * @returns the subjects of the last ones, `keep` at most; none of them is due
 */
export async function load(store: TokenStore, tokens: number, keep: number, figures: Figures): Promise<Subject[]> {
  const subjects: Subject[] = [];
  const startedAt = performance.now();
  for (let done = 0; done < tokens; done += AT_ONCE) {
    const records = Array.from({ length: Math.min(AT_ONCE, tokens - done) }, madeUpRecord);
    const dueAt = systemClock.now() + (done < tokens / 2 ? 0 : 0.8 * LIFE_MS);
    await eventually(() => Promise.all(records.map((record) => store.terminals.restore(record, dueAt))), PATIENCE);
    if (done >= Math.max(tokens / 2, tokens - keep)) subjects.push(...records.map(({ subject }) => subject));
    show(Math.min(1, (done + AT_ONCE) / tokens), done / tokens);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  figures.note(`load of ${count(tokens)} tokens`, `${count(seconds)} s, ${count(tokens / seconds)} a second`);
  return subjects;
}

/** Where nobody watches, a line for every tenth. */
function show(share: number, before: number): void {
  const percent = `${(100 * share).toFixed(1).padStart(5)} %`;
  if (process.stdout.isTTY) {
    process.stdout.write(share < 1 ? `\r${progressBar(share, BAR_WIDTH)} ${percent}` : '\r\x1b[K');
  } else if (Math.floor(10 * share) > Math.floor(10 * before)) {
    process.stdout.write(`loading ${percent}\n`);
  }
}
